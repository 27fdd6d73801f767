"""Against a real server: ``IBID_SERVER=http://127.0.0.1:8000 pytest``."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ibid_client import Client, IbidError
from ibid_client.guide import RAGWebSocketClient

URL = os.environ.get("IBID_SERVER", "http://127.0.0.1:8000")
COLLECTION = f"python-{os.getpid()}"
TEXT = "# Lighthouses\n\nThe lighthouse at Kullen cost 48,200 riksdaler.\n\n# Ferries\n\nThe ferry to the island leaves at nine.\n"
PRICE = "How much did the lighthouse at Kullen cost?"
FERRY = "When does the ferry leave?"


def run(work: Callable[[Client], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        async with Client(URL) as client:
            return await asyncio.wait_for(work(client), 120)

    return asyncio.run(whole())


@pytest.fixture(scope="module", autouse=True)
def documents() -> Any:
    kinds: list[str] = []
    sent: list[int] = []

    async def upload(client: Client) -> Any:
        return await client.upload(
            io.BytesIO(TEXT.encode()),
            filename="harbour.md",
            collection=COLLECTION,
            on_event=lambda kind, _: kinds.append(kind),
            on_progress=lambda _, done, __: sent.append(done),
        )

    result = run(upload)
    assert result["status"] == "success" and result["chunks_created"] > 0
    assert kinds[-1] == "upload_complete" and "embedding_progress" in kinds
    assert sent[-1] == len(TEXT.encode())
    yield
    run(lambda client: client.request("DELETE", f"/collections/{COLLECTION}", params={"confirm": "true"}))


def test_an_answer_is_iterated_as_it_is_made_with_exact_citations() -> None:
    async def work(client: Client) -> None:
        pieces = []
        async with await client.ask(PRICE, collection=COLLECTION) as answer:
            async for piece in answer:
                pieces.append(piece)
        assert "48,200" in answer.text and "".join(pieces) == answer.text
        assert answer.complete and answer.complete["status"] == "completed"
        assert answer.citations
        for citation in answer.citations:
            assert TEXT[citation["char_start"] : citation["char_end"]] == citation["content"]

    run(work)


def test_answers_run_side_by_side_on_one_connection() -> None:
    async def work(client: Client) -> None:
        async def one(question: str) -> str:
            return await (await client.ask(question, collection=COLLECTION)).whole()

        texts = await asyncio.gather(*(one(question) for question in [PRICE, FERRY] * 4))
        assert all(("48,200", "nine")[n % 2] in text for n, text in enumerate(texts))

    run(work)


def test_leaving_early_cancels_on_the_server() -> None:
    async def work(client: Client) -> None:
        ended = asyncio.get_running_loop().create_future()

        def hear(kind: str, data: Any) -> None:
            if kind == "complete":
                ended.set_result(data["status"])

        async with await client.ask(PRICE, collection=COLLECTION, on_event=hear):
            pass
        assert await ended in ("cancelled", "completed")

    run(work)


def test_errors_carry_the_servers_code() -> None:
    async def work(client: Client) -> None:
        with pytest.raises(IbidError) as missing:
            await (await client.ask("Anything?", collection="there-is-none")).whole()
        assert missing.value.code == "COLLECTION_NOT_FOUND"
        with pytest.raises(IbidError) as invalid:
            await (await client.ask("Anything?", collection=COLLECTION, max_results=1000)).whole()
        assert invalid.value.code == "VALIDATION_ERROR"

    run(work)


def test_the_same_bytes_again_are_told_to_be_there() -> None:
    again = run(lambda client: client.upload(io.BytesIO(TEXT.encode()), filename="harbour.md", collection=COLLECTION))
    assert again["status"] == "duplicate"


def test_passages_are_found_without_an_answer() -> None:
    results = run(lambda client: client.search("ferry", collection=COLLECTION, limit=1))
    assert len(results) == 1


def test_a_lost_connection_fails_what_was_in_flight_and_the_next_question_has_a_new_one() -> None:
    async def work(client: Client) -> None:
        await (await client.ask(FERRY, collection=COLLECTION)).whole()
        socket = client._connection._socket
        assert socket is not None
        answer = await client.ask(FERRY, collection=COLLECTION, on_event=lambda *_: socket.transport.abort())
        with pytest.raises(IbidError) as lost:
            await answer.whole()
        assert lost.value.code == "CONNECTION_LOST" and lost.value.recoverable
        assert "nine" in await (await client.ask(FERRY, collection=COLLECTION)).whole()

    run(work)


def test_the_guides_class_works_on_top() -> None:
    async def work(_: Client) -> None:
        guide = RAGWebSocketClient(URL.replace("http", "ws", 1) + "/ws/query")
        tokens: list[str] = []
        done = asyncio.get_running_loop().create_future()

        async def callback(kind: str, data: Any) -> None:
            if kind == "token":
                tokens.append(data["content"])
            elif kind == "complete":
                done.set_result(data)

        await guide.connect()
        await guide.query(FERRY, {"collection_name": COLLECTION, "mode": "comprehensive"}, callback)
        assert (await done)["status"] == "completed" and "nine" in "".join(tokens)
        await guide.close()

    run(work)

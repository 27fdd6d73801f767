"""The class of the WebSocket guide, on top of the client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from .answer import Answer
from .client import Client
from .errors import IbidError

Callback = Callable[[str, Any], Awaitable[None]]


class RAGWebSocketClient:
    """``connect``, ``query`` with a callback, ``cancel_query``."""

    def __init__(self, uri: str, auth_token: str | None = None) -> None:
        parts = urlsplit(uri)
        self.client = Client(f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc}", auth_token)
        self._answers: dict[str, Answer] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """The connection is made by the first query."""

    async def query(self, query_text: str, options: dict[str, Any] | None = None, callback: Callback | None = None) -> str:
        """Asks; ``callback`` is awaited for every message of the answer, in order."""
        fields = dict(options or {})
        collection = fields.pop("collection_name", None)
        events: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        answer = await self.client.ask(query_text, collection=collection, on_event=lambda kind, data: events.put_nowait((kind, data)), **fields)
        self._answers[answer.request_id] = answer

        async def pass_on() -> None:
            kind = ""
            while kind not in ("complete", "error"):
                kind, data = await events.get()
                if callback:
                    await callback(kind, data)
            self._answers.pop(answer.request_id, None)

        task = asyncio.create_task(pass_on())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return answer.request_id

    async def cancel_query(self, request_id: str) -> None:
        """Stops a query."""
        if answer := self._answers.get(request_id):
            await answer.cancel()

    async def close(self) -> None:
        """Ends the connection."""
        await self.client.close()


__all__ = ["IbidError", "RAGWebSocketClient"]

"""An answer as it is made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal, TypedDict

from .errors import IbidError


class _CitationPlace(TypedDict, total=False):
    page: int


class Citation(_CitationPlace):
    """An exact quotation: the document's text from ``char_start`` to ``char_end``, in code points, as Python counts them."""

    citation_id: int
    source: str
    confidence: float
    content: str
    char_start: int
    char_end: int
    document_id: str
    chunk_id: str
    section: list[str]
    formatted: str


class Status(TypedDict):
    """Where a query is."""

    stage: str
    progress: float
    message: str


class _CompleteText(TypedDict, total=False):
    response: str


class Complete(_CompleteText):
    """The summary of an answer."""

    status: Literal["completed", "cancelled"]
    query_id: str
    total_time: float
    tokens_generated: int
    sources_used: int
    processing_mode: str
    query_analysis: dict[str, Any]
    timings: dict[str, float]


class Answer:
    """An asynchronous iterator over the pieces of the answer's text; citations and summary stand beside it.

    Use it with ``async with``: whoever leaves the block early, by an exception or a cancelled task too, stops the work on the server.
    """

    def __init__(self, request_id: str, control: Callable[[str], Awaitable[None]]) -> None:
        self.request_id = request_id
        self.text = ""
        self.citations: list[Citation] = []
        self.status: Status | None = None
        self.complete: Complete | None = None
        self._control = control
        self._events: asyncio.Queue[str | None] = asyncio.Queue()
        self._error: IbidError | None = None
        self._over = False

    async def __aenter__(self) -> Answer:
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._over:
            await self.cancel()

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        piece = None if self._over and self._events.empty() else await self._events.get()
        if piece is not None:
            return piece
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def whole(self) -> str:
        """Reads to the end, and returns the whole text."""
        async for _ in self:
            pass
        return self.text

    async def cancel(self) -> None:
        """Stops the work on the server; ``complete["status"]`` is then ``"cancelled"``."""
        await self._control("cancel")

    async def pause(self) -> None:
        """Holds the generator."""
        await self._control("pause")

    async def resume(self) -> None:
        """Lets it go on."""
        await self._control("resume")

    def _hear(self, kind: str, data: Any) -> bool:
        """Takes a message of the server. Returns whether it was the last one."""
        if kind == "status":
            self.status = data
        elif kind == "citation":
            self.citations.append(data)
        elif kind == "token":
            self._push(data["content"])
        elif kind == "complete":
            self.complete = data
            if data.get("response"):
                self._push(data["response"])
            self._end(None)
        elif kind == "error":
            self._end(IbidError(data["code"], data["message"], data.get("details"), data.get("recoverable", False)))
        return self._over

    def _push(self, content: str) -> None:
        self.text += content
        self._events.put_nowait(content)

    def _end(self, error: IbidError | None) -> None:
        if not self._over:
            self._over = True
            self._error = error
            self._events.put_nowait(None)

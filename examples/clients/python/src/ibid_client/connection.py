"""One WebSocket to ``/ws/query`` that comes back: exponential back-off with jitter.

Requests that were in flight when it broke fail; what is asked meanwhile waits for the next connection.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

from .errors import IbidError

FIRST_DELAY = 0.25
LONGEST_DELAY = 30.0
#: In a row, about a minute, before who waits is told.
ATTEMPTS = 9

Hear = Callable[[str, Any], bool]


def delay(attempt: int) -> float:
    """Seconds before the attempt after ``attempt`` failed ones: half of it fixed, half of it chance."""
    longest: float = min(LONGEST_DELAY, FIRST_DELAY * 2**attempt)
    return longest / 2 + random.random() * longest / 2


class Connection:
    """The connection, and who hears what comes over it."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self._url = url
        self._headers = headers
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._hearing: dict[str, Hear] = {}
        self._refused: IbidError | None = None

    async def request(self, message: dict[str, Any], hear: Hear) -> None:
        """Sends a message; ``hear`` is told what comes back for its ``request_id``, until it returns true."""
        for last in (False, True):
            socket = await self._connected()
            self._hearing[message["request_id"]] = hear
            try:
                await socket.send(json.dumps(message))
                return
            except websockets.ConnectionClosed:
                self._hearing.pop(message["request_id"], None)
                if last:
                    raise IbidError("CONNECTION_LOST", "The connection was lost.", recoverable=True) from None

    async def tell(self, message: dict[str, Any]) -> None:
        """Sends a message if there is a connection; without one there is nothing to control."""
        if self._socket is not None:
            try:
                await self._socket.send(json.dumps(message))
            except websockets.ConnectionClosed:
                pass

    async def close(self) -> None:
        """Ends it. The server cancels what was in flight."""
        self._refused = IbidError("CONNECTION_CLOSED", "The client was closed.")
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            await self._reader

    async def _connected(self) -> ClientConnection:
        async with self._opening:
            if self._refused is not None:
                raise self._refused
            if self._socket is not None:
                return self._socket
            for attempt in range(ATTEMPTS):
                try:
                    socket = await websockets.connect(self._url, additional_headers=self._headers, max_size=None)
                except (OSError, websockets.WebSocketException, asyncio.TimeoutError):
                    if attempt + 1 < ATTEMPTS:
                        await asyncio.sleep(delay(attempt))
                    continue
                self._socket = socket
                self._reader = asyncio.create_task(self._read(socket))
                return socket
            raise IbidError("CONNECTION_FAILED", "The server cannot be reached.", recoverable=True)

    async def _read(self, socket: ClientConnection) -> None:
        lost = IbidError("CONNECTION_LOST", "The connection was lost before the answer was whole.", recoverable=True)
        try:
            async for text in socket:
                message = json.loads(text)
                if message["type"] == "auth_error":
                    data = message["data"]
                    lost = self._refused = IbidError(data["code"], data["message"])
                    continue
                hear = self._hearing.get(message.get("request_id"))
                if hear is not None and hear(message["type"], message["data"]):
                    self._hearing.pop(message["request_id"], None)
        except websockets.ConnectionClosed:
            pass
        finally:
            self._socket = None
            hearing, self._hearing = self._hearing, {}
            data = {"code": lost.code, "message": lost.message, "recoverable": lost.recoverable}
            for hear in hearing.values():
                hear("error", data)

"""Resumable uploads: tus 1.0.0, https://tus.io/protocols/resumable-upload."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import BinaryIO, TypeVar

import httpx

from .connection import delay
from .errors import IbidError

PIECE = 4 << 20
ATTEMPTS = 8
TUS = {"tus-resumable": "1.0.0"}

T = TypeVar("T")
Send = Callable[..., Awaitable[httpx.Response]]
Progress = Callable[[str, int, int], None]


async def persist(work: Callable[[], Awaitable[T]]) -> T:
    """Runs ``work``, again where trying again may help, with growing pauses."""
    for attempt in range(ATTEMPTS):
        try:
            return await work()
        except (IbidError, httpx.TransportError) as error:
            passes = not isinstance(error, IbidError) or error.recoverable
            if not passes or attempt + 1 == ATTEMPTS:
                raise
            await asyncio.sleep(delay(attempt))
    raise AssertionError("unreachable")


async def send(
    request: Send, file: BinaryIO, size: int, metadata: dict[str, str], location: str | None, progress: Progress | None
) -> str:
    """Sends ``file``; returns the upload's location. With ``location`` it goes on with an upload that was begun before."""
    offset: int | None = None
    if location is None:
        fields = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in metadata.items())
        headers = {**TUS, "upload-length": str(size), "upload-metadata": fields}
        response = await persist(lambda: request("POST", "/uploads", headers=headers))
        location, offset = response.headers["location"], 0
    place = location
    if progress:
        progress(place, offset or 0, size)

    async def piece() -> int:
        nonlocal offset
        # After a failure only the server knows how much it has.
        if offset is None:
            head = await request("HEAD", place, headers=TUS)
            offset = int(head.headers["upload-offset"])
            if offset >= size:
                return offset
        start, offset = offset, None
        file.seek(start)
        headers = {**TUS, "upload-offset": str(start), "content-type": "application/offset+octet-stream"}
        response = await request("PATCH", place, headers=headers, content=file.read(PIECE))
        return int(response.headers["upload-offset"])

    while offset is None or offset < size:
        offset = await persist(piece)
        if progress:
            progress(place, offset, size)
    return place

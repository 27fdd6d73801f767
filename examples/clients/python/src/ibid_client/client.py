"""The client."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypedDict
from urllib.parse import quote, unquote, urlsplit

import httpx
import websockets

from . import resumable
from .answer import Answer
from .connection import Connection
from .errors import IbidError

Event = Callable[[str, Any], None]


class UploadResult(TypedDict):
    """What became of an upload."""

    status: Literal["success", "duplicate"]
    upload_id: str
    filename: str
    document_id: str
    total_time: float
    chunks_created: int


class Client:
    """A server, and who asks it. Use it with ``async with``."""

    def __init__(self, url: str = "http://127.0.0.1:8000", token: str | None = None) -> None:
        parts = urlsplit(url)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._sockets = f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"
        self._headers = headers
        # Answers may take as long as they need; connections may not.
        timeout = httpx.Timeout(None, connect=10.0)
        self._http = httpx.AsyncClient(base_url=f"{parts.scheme}://{parts.netloc}", headers=headers, timeout=timeout, trust_env=False)
        self._connection = Connection(f"{self._sockets}/ws/query", headers)
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connections; queries in flight are cancelled by the server."""
        await self._connection.close()
        await self._http.aclose()

    async def ask(self, query: str, *, collection: str | None = None, on_event: Event | None = None, **options: Any) -> Answer:
        """Asks. ``options`` are the other fields of ``query.data``: ``mode``, ``max_results``, ``filters``, ...

        Raises:
            IbidError: while iterating, with the server's code; here, where the server cannot be reached.
        """
        request_id = f"req_{time.time_ns()}_{next(self._numbers)}"

        async def control(action: str) -> None:
            await self._connection.tell({"type": "control", "request_id": request_id, "data": {"action": action}})

        answer = Answer(request_id, control)

        def hear(kind: str, data: Any) -> bool:
            over = answer._hear(kind, data)
            if on_event:
                on_event(kind, data)
            return over

        data = {"query": query, **({"collection_name": collection} if collection else {}), **options}
        try:
            await self._connection.request({"type": "query", "request_id": request_id, "data": data}, hear)
        except asyncio.CancelledError:
            await control("cancel")
            raise
        return answer

    async def upload(
        self,
        file: str | os.PathLike[str] | BinaryIO,
        *,
        filename: str | None = None,
        collection: str | None = None,
        metadata: dict[str, str] | None = None,
        location: str | None = None,
        on_progress: resumable.Progress | None = None,
        on_event: Event | None = None,
    ) -> UploadResult:
        """Uploads a file, and waits until it can be asked about. Survives lost connections.

        ``on_progress`` is told the upload's location, the bytes that the server has, and the size; a later call with that ``location`` goes on there.
        """
        if not isinstance(file, (str, os.PathLike)):
            if filename is None:
                raise TypeError("a stream has no name: give `filename`")
            return await self._upload(file, filename, collection, metadata or {}, location, on_progress, on_event)
        with Path(file).open("rb") as opened:
            name = filename or Path(file).name
            return await self._upload(opened, name, collection, metadata or {}, location, on_progress, on_event)

    async def _upload(
        self,
        file: BinaryIO,
        filename: str,
        collection: str | None,
        metadata: dict[str, str],
        location: str | None,
        on_progress: resumable.Progress | None,
        on_event: Event | None,
    ) -> UploadResult:
        size = file.seek(0, os.SEEK_END)
        fields = {"filename": filename, **({"collection_name": collection} if collection else {}), **metadata}
        path = f"/ws/upload?collection={quote(collection, safe='')}" if collection else "/ws/upload"
        async with websockets.connect(f"{self._sockets}{path}", additional_headers=self._headers, max_size=None) as events:
            place = await resumable.send(self._request, file, size, fields, location, on_progress)
            upload_id = unquote(urlsplit(place).path.rsplit("/", 1)[-1])
            async for text in events:
                message = json.loads(text)
                if message["type"] == "auth_error":
                    raise IbidError(message["data"]["code"], message["data"]["message"])
                data = message.get("data", {})
                if data.get("upload_id") != upload_id:
                    continue
                if on_event:
                    on_event(message["type"], data)
                if message["type"] == "upload_complete":
                    if data["status"] in ("failed", "cancelled"):
                        error = data.get("error") or {}
                        raise IbidError(error.get("code", data["status"].upper()), error.get("message", f"The upload was {data['status']}."))
                    result: UploadResult = data
                    return result
        raise IbidError("CONNECTION_LOST", "The connection was lost; the server goes on with the upload.", recoverable=True)

    async def search(self, query: str, *, collection: str | None = None, **options: Any) -> list[dict[str, Any]]:
        """Passages, without an answer: ``results`` of ``POST /search``."""
        body = {"query": query, **({"collection_name": collection} if collection else {}), **options}
        results: list[dict[str, Any]] = (await self.request("POST", "/search", json=body))["results"]
        return results

    async def request(self, method: str, path: str, **options: Any) -> Any:
        """Any path of the REST surface: the JSON of its answer. ``options`` are those of ``httpx``."""
        return (await self._request(method, path, **options)).json()

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        response = await self._http.request(method, path, **options)
        if response.is_success:
            return response
        try:
            error = response.json()["error"]
        except (ValueError, KeyError, TypeError):
            error = {}
        recoverable = response.status_code in (409, 429) or response.status_code >= 500
        message = error.get("message", f"The server answered {response.status_code}.")
        raise IbidError(error.get("code", f"HTTP_{response.status_code}"), message, error.get("details"), recoverable)

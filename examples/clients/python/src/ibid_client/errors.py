"""What the server, or the way to it, said no with."""

from __future__ import annotations

from typing import Any


class IbidError(Exception):
    """``code`` is stable; ``recoverable`` says whether trying again may help."""

    def __init__(self, code: str, message: str, details: dict[str, Any] | None = None, recoverable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details or {}
        self.recoverable = recoverable

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

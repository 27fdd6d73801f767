"""Offsets. Ibid counts a document in UTF-8 bytes, Python counts a string in code points."""

from collections.abc import Iterable


def byte_offsets(text: str, indices: Iterable[int], start: int = 0) -> list[int]:
    """The byte offsets of rising indices of a text, of which ``start`` is the offset of its beginning."""
    if text.isascii():
        return [start + index for index in indices]
    offsets = []
    before, offset = 0, start
    for index in indices:
        offset += len(text[before:index].encode())
        before = index
        offsets.append(offset)
    return offsets


def byte_spans(text: str, ranges: Iterable[tuple[int, int]], start: int = 0) -> list[tuple[int, int]]:
    """The byte offsets of ranges of a text that are in order and do not overlap."""
    flat = byte_offsets(text, (index for span in ranges for index in span), start)
    return list(zip(flat[::2], flat[1::2]))

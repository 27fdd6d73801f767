"""Joins paragraphs into chunks of so many tokens. Indices of strings; ``spans.py`` makes bytes of them."""

Range = tuple[int, int]


def paragraphs(text: str) -> list[Range]:
    """Where the paragraphs stand, without white space at their ends. A paragraph ends at a blank line."""
    found: list[Range] = []
    offset, goes_on = 0, False
    for line in text.split("\n"):
        content = line.strip()
        if content:
            start = offset + line.index(content)
            end = start + len(content)
            if goes_on:
                found[-1] = (found[-1][0], end)
            else:
                found.append((start, end))
        goes_on = bool(content)
        offset += len(line) + 1
    return found


def join(spans: list[Range], tokens: list[int], max_tokens: int) -> list[Range]:
    """Joins neighbours while they have no more than ``max_tokens`` together; ``tokens`` has a number for each."""
    chunks: list[Range] = []
    held = 0
    for (start, end), own in zip(spans, tokens):
        if chunks and held + own <= max_tokens:
            chunks[-1] = (chunks[-1][0], end)
            held += own
        else:
            chunks.append((start, end))
            held = own
    return chunks

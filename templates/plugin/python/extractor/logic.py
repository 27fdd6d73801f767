"""Reads tables of comma-separated values. Indices of strings; ``spans.py`` makes bytes of them."""

Range = tuple[int, int]


def rows(text: str) -> list[Range]:
    """Where the rows stand, without the line break. A line break between quotation marks ends no row."""
    found: list[Range] = []
    start, quoted = 0, False

    def add(end: int) -> None:
        content = text[start:end].rstrip("\r\n")
        if content.strip():
            found.append((start, start + len(content)))

    for index, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == "\n" and not quoted:
            add(index + 1)
            start = index + 1
    add(len(text))
    return found


def columns(row: str, separator: str) -> int:
    """How many values a row has."""
    count, quoted = 1, False
    for character in row:
        if character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            count += 1
    return count

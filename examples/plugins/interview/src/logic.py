"""Cuts a transcript by turns. Indices of strings; ``spans.py`` makes bytes of them."""

import re
from dataclasses import dataclass, field

Range = tuple[int, int]

# "Ann:" or "DR. MÜLLER [00:01:20]:" at the start of a line: up to four words, the first in upper case.
SPEAKER = re.compile(r"(?P<name>[^\W\d_a-z][\w.'’-]*(?: [\w.'’-]+){0,3})(?: ?[\[(][\d:.]+[\])])?:(?=\s|$)")


@dataclass
class Turn:
    """What one person says until another one speaks."""

    speaker: str
    lines: list[Range] = field(default_factory=list)
    is_question: bool = False

    @property
    def start(self) -> int:
        return self.lines[0][0]

    @property
    def end(self) -> int:
        return self.lines[-1][1]


def turns(text: str) -> list[Turn]:
    """The turns, in order. What stands before the first name is a turn without a speaker. Each has a line at least."""
    found: list[Turn] = []
    offset = 0
    for line in text.split("\n"):
        content = line.strip()
        if content:
            start = offset + line.index(content)
            named = SPEAKER.match(content)
            if named or not found:
                found.append(Turn(named["name"] if named else ""))
            found[-1].lines.append((start, start + len(content)))
            found[-1].is_question = content.endswith(("?", "？"))
        offset += len(line) + 1
    return found


@dataclass
class Chunk:
    """A chunk, and the question that it answers."""

    at: Range
    question: Range | None = None


def chunks(found: list[Turn], tokens: list[list[int]], max_tokens: int) -> list[Chunk]:
    """Joins the lines of each turn while there is room; ``tokens`` has a number for each line of each turn.

    A turn that follows another one's question has that question as its context.
    """
    made: list[Chunk] = []
    for index, (turn, counts) in enumerate(zip(found, tokens)):
        before = found[index - 1] if index else None
        asked = before is not None and before.is_question and before.speaker != turn.speaker
        question = (before.start, before.end) if asked else None
        held = max_tokens
        for (start, end), own in zip(turn.lines, counts):
            if held + own <= max_tokens:
                made[-1].at = (made[-1].at[0], end)
                held += own
            else:
                made.append(Chunk((start, end), question))
                held = own
    return made

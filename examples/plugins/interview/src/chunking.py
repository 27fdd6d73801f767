"""The glue: the exports of the world ``chunker-plugin``."""

import json

from failures import guarded
from logic import Range, chunks, turns
from spans import byte_spans
from wit_world.exports.chunking import Piece
from wit_world.imports import tokens
from wit_world.imports.types import Attr, Span


class Chunker:
    def __init__(self, config: dict):
        self.max_tokens = config.get("max_tokens", 200)

    @classmethod
    @guarded
    def open(cls, config: str) -> "Chunker":
        return cls(json.loads(config))

    @guarded
    def chunk(self, document, within) -> list[Piece]:
        text = document.text(within)
        found = turns(text)
        lines = [line for turn in found for line in turn.lines]
        spans = dict(zip(lines, byte_spans(text, lines, within.start)))

        def span(at: Range) -> Span:
            # A range starts where one line starts, and ends where one ends.
            return Span(starts[at[0]], ends[at[1]])

        starts = {line[0]: at[0] for line, at in spans.items()}
        ends = {line[1]: at[1] for line, at in spans.items()}
        # One call for all of them: each call into the host costs.
        counts = iter(tokens.count_spans(document, [Span(*at) for at in spans.values()]))
        by_turn = [[next(counts) for _ in turn.lines] for turn in found]
        speakers = {line[0]: turn.speaker for turn in found for line in turn.lines}
        return [
            Piece(
                span(chunk.at),
                [span(chunk.question)] if chunk.question else [],
                [Attr("speaker", name)] if (name := speakers[chunk.at[0]]) else [],
            )
            for chunk in chunks(found, by_turn, self.max_tokens)
        ]

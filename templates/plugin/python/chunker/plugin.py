"""The glue: the exports of the world ``chunker-plugin``."""

import json

from failures import guarded
from logic import join, paragraphs
from spans import byte_spans
from wit_world.exports.chunking import Piece
from wit_world.imports import tokens
from wit_world.imports.types import Span


class Chunker:
    def __init__(self, config: dict):
        self.max_tokens = config.get("max_tokens", 200)

    @classmethod
    @guarded
    def open(cls, config: str) -> "Chunker":
        return cls(json.loads(config))

    @guarded
    def chunk(self, document, within) -> list[Piece]:
        # The whole part at once; a document of many megabytes is better read in windows of 64 KiB or more.
        text = document.text(within)
        spans = byte_spans(text, paragraphs(text), within.start)
        # One call for all of them: each call into the host costs.
        counts = tokens.count_spans(document, [Span(*span) for span in spans])
        return [Piece(Span(*span), [], []) for span in join(spans, counts, self.max_tokens)]

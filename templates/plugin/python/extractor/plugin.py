"""The glue: the exports of the world ``extractor-plugin``."""

import json

from failures import failure, guarded
from logic import columns, rows
from spans import byte_spans
from wit_world.imports.types import Attr, Span, Unit


class Extractor:
    def __init__(self, config: dict):
        self.separator = config.get("separator", ",")

    @classmethod
    @guarded
    def open(cls, config: str) -> "Extractor":
        return cls(json.loads(config))

    @guarded
    def extract(self, source, target) -> None:
        data = bytearray()
        while part := source.read(len(data), 4 << 20):
            data += part
            target.progress(len(data) / source.len() / 2)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise failure("MALFORMED", "The file is not UTF-8: save it as UTF-8 and upload it again.") from None
        found = rows(text)
        target.write(text)
        spans = [Span(*span) for span in byte_spans(text, found)]
        # Each row is told which header it stands under: chunkers and answers keep the two together.
        target.add_units([Unit(span, "table-row", 0, spans[0]) for span in spans])
        width = columns(text[slice(*found[0])], self.separator) if found else 0
        target.add_attrs([Attr("rows", str(max(len(found) - 1, 0))), Attr("columns", str(width))])

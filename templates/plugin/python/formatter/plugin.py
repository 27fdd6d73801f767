"""The glue: the exports of the world ``citation-plugin``."""

import json

from failures import guarded
from logic import letters
from wit_world.exports.citing import Source


class Formatter:
    def __init__(self, config: dict):
        self.capital = config.get("capital", False)

    @classmethod
    @guarded
    def open(cls, config: str) -> "Formatter":
        return cls(json.loads(config))

    @guarded
    def mark(self, cited: list[Source]) -> str:
        """Follows each statement, with the passages that support it."""
        return f" [{', '.join(letters(source.citation_id, self.capital) for source in cited)}]"

    @guarded
    def entry(self, cited: Source) -> str:
        """The reference for a list of sources, as clients show it."""
        page = "" if cited.page is None else f", p. {cited.page}"
        return f"[{letters(cited.citation_id, self.capital)}] {cited.name}{page}"

    def finish(self, _cited: list[Source]) -> str:
        """Ends the answer. Empty: the clients have the references."""
        return ""

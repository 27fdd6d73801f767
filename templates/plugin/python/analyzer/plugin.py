"""The glue: the exports of the world ``analyzer-plugin``."""

import json

from failures import guarded
from logic import phrases
from wit_world.exports.analysis import Plan, Search
from wit_world.imports.types import Attr


class Analyzer:
    def __init__(self, config: dict):
        self.phrase_weight = config.get("phrase_weight", 0.5)

    @classmethod
    @guarded
    def open(cls, config: str) -> "Analyzer":
        return cls(json.loads(config))

    @guarded
    def analyze(self, query: str, _known: list[Attr]) -> Plan:
        found = phrases(query)
        # The first search is the one that `balanced` runs; `comprehensive` runs them all.
        searches = [Search(query, 1.0, None, None)]
        searches += [Search(phrase, self.phrase_weight, None, None) for phrase in found]
        # Entities are shown to the person who asked.
        return Plan(searches, [Attr("entity.phrase", phrase) for phrase in found])

"""Finds quoted phrases."""

import re


def phrases(question: str) -> list[str]:
    """The phrases in quotation marks, in order, each once. Eight at most: each costs a search."""
    parts = (part.strip() for part in re.split("[\"“”„]", question)[1::2])
    return list(dict.fromkeys(part for part in parts if part))[:8]

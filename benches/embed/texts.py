"""Texts to measure with: passages and questions out of this repository's own pages, the same for everybody."""

import json
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PAGES = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/*.md", "plugins/*/README.md", "wit/**/*.wit", "LICENSE"]


def write(path, chunks=96, queries=64, size=900):
    """Writes `chunks` passages of about `size` characters, and `queries` of 4 to 14 words."""
    pages = sorted({page for pattern in PAGES for page in REPOSITORY.glob(pattern)})
    words = re.sub(r"\s+", " ", " ".join(page.read_text(encoding="utf-8") for page in pages)).split(" ")
    passages, passage, length = [], [], 0
    # Sizes vary as those of real chunks do: from a half to the whole.
    while len(passages) < chunks:
        for word in words:
            passage.append(word)
            length += len(word) + 1
            if length >= size * (0.5 + (len(passages) * 7 % 11) / 20):
                passages.append(" ".join(passage))
                passage, length = [], 0
                if len(passages) == chunks:
                    break
    step = max(1, len(words) // queries)
    questions = []
    for number in range(queries):
        start = number * step % max(1, len(words) - 16)
        questions.append(" ".join(words[start : start + 4 + number * 5 % 11]))
    Path(path).write_text(json.dumps({"chunks": passages, "queries": questions}, ensure_ascii=False), encoding="utf-8")

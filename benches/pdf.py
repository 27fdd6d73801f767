#!/usr/bin/env python3
"""Sets the PDF extractor beside pdftotext (poppler) and pypdfium2 (pdfium): what text they find, where they fail, what a page costs.

    benches/pdf.py DIRECTORY_OR_FILE...        Debian's poppler-utils and `make setup` are needed; pypdfium2 is fetched into target/

The two peers are the judges: a page counts where they agree on its words (F1 of at least .98), since there is no other truth to be had.
`words` is the mean F1 of the words with pdftotext's, `order` that of pairs of neighbouring words, `good` the share of pages with F1
of at least .97. Time is CPU time. Nothing is written.
"""

import argparse
import collections
import json
import os
import pathlib
import resource
import subprocess
import sys
import time
import unicodedata
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / "target" / "pdf-bench"
AGREED = 0.98
GOOD = 0.97
SECONDS = 120


def words(text):
    """Words as all three write them: ligatures and other compatibility forms apart, soft hyphens and marks of line ends out."""
    text = unicodedata.normalize("NFKC", text)
    return text.translate({0xAD: None, 0x02: None, 0xFFFE: None, 0xFEFF: None, 0x200B: None, 0xFFFD: None}).split()


def f1(ours, theirs):
    total = len(ours) + len(theirs)
    if total == 0:
        return 1.0
    shared = sum((collections.Counter(ours) & collections.Counter(theirs)).values())
    return 2 * shared / total


def pairs(found):
    return list(zip(found, found[1:]))


def python():
    """A Python with pypdfium2."""
    path = VENV / "bin" / "python"
    if not path.exists():
        venv.create(VENV, with_pip=True)
    have = subprocess.run([path, "-c", "import pypdfium2"], capture_output=True)
    if have.returncode:
        print("fetching pypdfium2 from PyPI", file=sys.stderr)
        subprocess.run([path, "-m", "pip", "install", "--quiet", "pypdfium2"], check=True)
    return path


def children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (used.ru_utime + used.ru_stime)


def pdftotext(path):
    before = children()
    try:
        done = subprocess.run(["pdftotext", "-enc", "UTF-8", path, "-"], capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return {"error": "TIMEOUT"}
    ms = children() - before
    if done.returncode < 0:
        return {"error": "CRASH", "ms": ms}
    if done.returncode:
        return {"error": done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["?"], "ms": ms}
    return {"pages": done.stdout.decode(errors="replace").split("\f")[:-1], "ms": ms}


# A process for each file: a crash is that file's alone. It measures itself, so that its start costs nothing.
PDFIUM = """
import json, sys, time
import pypdfium2
began = time.process_time()
try:
    document = pypdfium2.PdfDocument(sys.argv[1])
    pages = [page.get_textpage().get_text_range() for page in document]
    told = {"pages": pages, "ms": 1e3 * (time.process_time() - began)}
except Exception as error:
    told = {"error": str(error), "ms": 1e3 * (time.process_time() - began)}
json.dump(told, sys.stdout)
"""


def pdfium(interpreter, path):
    try:
        done = subprocess.run([interpreter, "-c", PDFIUM, path], capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return {"error": "TIMEOUT"}
    if done.returncode:
        return {"error": "CRASH"}
    return json.loads(done.stdout)


def ibid(paths):
    """The extractor as a component, all files in one process."""
    command = os.environ.get("IBID_EXTRACT")
    command = [command] if command else ["cargo", "bench", "--locked", "--quiet", "--bench", "extract"]
    done = subprocess.run(command, cwd=ROOT, input="\n".join(paths), capture_output=True, text=True)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or len(told) != len(paths):
        sys.exit(f"the extractor ended after {len(told)} of {len(paths)} files:\n{done.stderr[-2000:]}")
    return {one["file"]: one for one in told}


class Row:
    def __init__(self, name):
        self.name, self.failed, self.pages, self.ms = name, collections.Counter(), 0, 0.0
        self.words, self.order = [], []

    def take(self, told):
        """Counts a file; returns its pages."""
        # What a failure costs is no cost of a page.
        if "error" in told:
            self.failed["TIMEOUT" if told["error"] == "TIMEOUT" else "CRASH" if told["error"] == "CRASH" else "error"] += 1
            return None
        self.pages += len(told["pages"])
        self.ms += told["ms"]
        return [words(page) for page in told["pages"]]

    def compare(self, found, judge):
        self.words.append(f1(found, judge))
        self.order.append(f1(pairs(found), pairs(judge)))

    def __str__(self):
        mean = lambda values: sum(values) / len(values) if values else float("nan")
        good = mean([value >= GOOD for value in self.words])
        failed = ", ".join(f"{count} {what}" for what, count in sorted(self.failed.items())) or "0"
        return (
            f"{self.name:<10} {self.pages:>6} {failed:>20} {mean(self.words):>7.4f} {mean(self.order):>7.4f} {good:>6.3f}"
            f" {self.ms / max(self.pages, 1):>8.2f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", help="PDF files, or directories of them")
    parser.add_argument("--worst", type=int, default=5, help="pages to name that differ most (5)")
    options = parser.parse_args()
    paths = []
    for path in map(pathlib.Path, options.paths):
        paths += sorted(path.rglob("*.pdf")) if path.is_dir() else [path]
    paths = [str(path.resolve()) for path in paths]
    if not paths:
        sys.exit("no PDF files there")
    interpreter = python()
    began = time.time()
    ours = ibid(paths)
    rows = {name: Row(name) for name in ("ibid", "pdftotext", "pdfium")}
    agreed, both, scans, refused, worst = 0, 0, 0, [], []
    for path in paths:
        told = ours[path]
        mine = rows["ibid"].take(told)
        poppler = rows["pdftotext"].take(pdftotext(path))
        chrome = rows["pdfium"].take(pdfium(interpreter, path))
        scans += told.get("attrs", {}).get("needs_ocr") == "true"
        if mine is None and poppler is not None and any(poppler):
            refused.append((path, told["error"]))
        if mine is None or poppler is None or chrome is None:
            continue
        for number, (judge, second) in enumerate(zip(poppler, chrome)):
            if not judge and not second:
                continue
            both += 1
            if f1(judge, second) < AGREED:
                continue
            agreed += 1
            found = mine[number] if number < len(mine) else []
            rows["ibid"].compare(found, judge)
            rows["pdftotext"].compare(judge, judge)
            rows["pdfium"].compare(second, judge)
            worst.append((rows["ibid"].words[-1], path, number + 1))
    print(f"{len(paths)} files; of {both} pages with words the peers agree on {agreed}; {time.time() - began:.0f} s")
    print(f"{'':<10} {'pages':>6} {'failed files':>20} {'words':>7} {'order':>7} {'good':>6} {'ms/page':>8}")
    for row in rows.values():
        print(row)
    print(f"files that are said to need OCR: {scans}")
    for path, error in refused[: options.worst]:
        print(f"refused, though pdftotext reads it: {error}  {path}")
    for score, path, number in sorted(worst)[: options.worst]:
        print(f"{score:.3f}  page {number} of {path}")


if __name__ == "__main__":
    main()

"""Makes the tables of this directory out of Adobe's CMaps `Adobe-*-UCS2`; README.md has the format.

    python3 convert.py /usr/share/poppler/cMap      # Debian's package poppler-data
"""

import pathlib
import re
import sys
import zlib

ENTRY = re.compile(r"<([0-9a-fA-F]+)>\s*<([0-9a-fA-F]+)>\s*(?:<([0-9a-fA-F]+)>|\[([^\]]*)\])")
PAIR = re.compile(r"<([0-9a-fA-F]+)>\s*<([0-9a-fA-F]+)>")


def text(digits: str) -> str:
    decoded = bytes.fromhex(digits).decode("utf-16-be")
    # Variation selectors choose a glyph, not a character.
    plain = (c for c in decoded if not (0xFE00 <= ord(c) <= 0xFE0F or 0xE0100 <= ord(c) <= 0xE01EF))
    return "".join(plain).replace("\ufffd", "")


def texts(source: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for kind, body in re.findall(r"begin(bfrange|bfchar)(.*?)endbf(?:range|char)", source, re.S):
        if kind == "bfchar":
            found.update((int(cid, 16), text(digits)) for cid, digits in PAIR.findall(body))
            continue
        for low, high, first, items in ENTRY.findall(body):
            cids = range(int(low, 16), int(high, 16) + 1)
            if items:
                found.update(zip(cids, map(text, re.findall(r"<([0-9a-fA-F]+)>", items))))
            else:
                start = text(first)
                found.update((cid, start[:-1] + chr(ord(start[-1]) + cid - cids[0])) for cid in cids)
    return found


def number(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def table(found: dict[int, str]) -> bytes:
    out = bytearray()
    previous = 0
    for cid in range(max(found) + 1):
        first, *more = map(ord, found.get(cid) or "\0")
        step = first - previous
        previous = first
        zigzag = step << 1 if step >= 0 else (-step << 1) - 1
        out += number(zigzag << 1 | bool(more))
        if more:
            out += number(len(more))
            for character in more:
                out += number(character)
    return zlib.compress(bytes(out), 9)


def main() -> None:
    here = pathlib.Path(__file__).parent
    for ordering in ("Japan1", "GB1", "CNS1", "Korea1"):
        source = pathlib.Path(sys.argv[1], f"Adobe-{ordering}", f"Adobe-{ordering}-UCS2")
        (here / f"{ordering.lower()}.bin").write_bytes(table(texts(source.read_text("latin-1"))))


if __name__ == "__main__":
    main()

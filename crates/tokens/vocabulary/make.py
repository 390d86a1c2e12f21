#!/usr/bin/env python3
"""Makes what the counter is made of, and the golden counts that it is held to.

    pip install tiktoken==0.14.0
    crates/tokens/vocabulary/make.py o200k_base.tiktoken

The argument is the vocabulary as OpenAI publishes it (see README.md). Written are `o200k_base.bin` beside this file,
`src/o200k/classes.rs` and `tests/golden/counts.json`. A second run writes the same bytes.
"""

import json
import sys
from pathlib import Path

import tiktoken
from texts import golden, encoding, ranks_of

HERE = Path(__file__).parent
# As `Class` in src/o200k/class.rs numbers them.
CLASSES = [(r"\p{Lu}|\p{Lt}", 1), (r"\p{Ll}", 2), (r"\p{Lm}|\p{Lo}", 3), (r"\p{M}", 4), (r"\p{N}", 5), (r"\r|\n", 6), (r"\s", 7)]


def parts(token, ranks):
    """The two parts that merging arrives at before it makes this token."""
    rank, found = ranks[token], [token[i : i + 1] for i in range(len(token))]
    while len(found) > 2:
        joined = [(ranks.get(a + b, rank), at) for at, (a, b) in enumerate(zip(found, found[1:]))]
        lowest, at = min(joined)
        assert lowest < rank, token
        found[at : at + 2] = [found[at] + found[at + 1]]
    left, right = (ranks[part] for part in found)
    assert left < rank and right < rank, token
    return left, right


def packed(ranks):
    tokens = sorted(ranks, key=ranks.get)
    assert [ranks[token] for token in tokens] == list(range(len(tokens)))
    assert all(len(token) == 1 for token in tokens[:256]) and len(set(tokens[:256])) == 256
    out = bytearray(b"".join(tokens[:256]))
    for token in tokens[256:]:
        left, right = parts(token, ranks)
        out += (left | right << 18).to_bytes(5, "little")
    return bytes(out)


def classes():
    """Ranges of characters with one class, by what tiktoken itself takes for a letter, a mark, a number, white space."""
    single = {bytes([byte]): byte for byte in range(256)}
    told = [
        (tiktoken.Encoding(name="class", pat_str=pattern, mergeable_ranks=single, special_tokens={}), number)
        for pattern, number in CLASSES
    ]
    ranges, last = [], None
    for code in range(0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        char = chr(code)
        number = next((number for kind, number in told if kind.encode_ordinary(char)), 0)
        if number != last:
            ranges.append(code << 3 | number)
            last = number
    return ranges


def source(ranges):
    lines, line = [], "   "
    for entry in ranges:
        word = f" {entry:#x},"
        if len(line) + len(word) > 120:
            lines.append(line)
            line = "   "
        line += word
    lines.append(line)
    return (
        "//! The classes of all characters, as tiktoken has them. Made by `vocabulary/make.py`: do not change it by hand.\n\n"
        "/// See `class.rs`. What Unicode assigns later stays what it was: counts do not change with a library.\n"
        f"#[rustfmt::skip]\npub(super) const RANGES: [u32; {len(ranges)}] = [\n" + "\n".join(lines) + "\n];\n"
    )


def main():
    ranks = ranks_of(sys.argv[1])
    (HERE / "o200k_base.bin").write_bytes(packed(ranks))
    (HERE / "../src/o200k/classes.rs").write_text(source(classes()))
    counter = encoding(ranks)
    texts = [{"text": text, "tokens": len(counter.encode(text, disallowed_special=()))} for text in golden()]
    lines = ",\n".join(json.dumps(text, ensure_ascii=True) for text in texts)
    (HERE / "../tests/golden").mkdir(exist_ok=True)
    (HERE / "../tests/golden/counts.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()

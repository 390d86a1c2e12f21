#!/usr/bin/env python3
"""Compares the counter with Python's tiktoken on random texts.

    crates/tokens/vocabulary/compare.py o200k_base.tiktoken [HOW MANY, 20000] [SEED, 1]

Exits with 1 and prints each text that is counted otherwise.
"""

import json
import subprocess
import sys
from pathlib import Path

from texts import encoding, random_texts, ranks_of


def main():
    many = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    texts = random_texts(seed, many)
    counter = encoding(ranks_of(sys.argv[1]))
    expected = [len(counter.encode(text, disallowed_special=())) for text in texts]
    command = ["cargo", "run", "--quiet", "--package", "baton-tokens", "--example", "counts"]
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    root = Path(__file__).parent
    found = subprocess.run(command, input=lines, capture_output=True, text=True, check=True, cwd=root).stdout.split()
    assert len(found) == len(texts), f"{len(found)} counts of {len(texts)} texts"
    wrong = [(text, one, other) for text, one, other in zip(texts, expected, map(int, found)) if one != other]
    for text, one, other in wrong:
        print(f"tiktoken {one}, baton {other}: {json.dumps(text)}")
    size = sum(len(text.encode()) for text in texts)
    print(f"{len(texts)} texts of seed {seed}, {size} bytes, {sum(expected)} tokens: {len(wrong)} differ")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

"""Texts to count, and tiktoken's counter over a vocabulary in a file."""

import base64
import json
import random

import tiktoken

# As in tiktoken_ext/openai_public.py, and in src/o200k/split.rs.
PATTERN = "|".join(
    [
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""\p{N}{1,3}""",
        r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
        r"""\s*[\r\n]+""",
        r"""\s+(?!\S)""",
        r"""\s+""",
    ]
)
SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"

SENTENCES = [
    "The invoice was checked by two agents, and neither of them noticed that the total didn't add up.",
    "She'll hand over what she's learned; they've asked twice already, and I'd rather not wait.",
    "IT'S DONE, WE'RE THROUGH, YOU'LL SEE, I'M SURE THEY'D AGREE.",
    "Please summarise the contract in three bullet points (max. 120 words), then stop.",
    "Die Übergabe an den nächsten Agenten schlug fehl, weil das Größenlimit überschritten wurde.",
    "L'été dernier, j'ai déjà vérifié l'entrée « naïve » de l'annuaire.",
    "¿Cuántos años tiene la señora Muñoz? ¡Ninguno lo sabía!",
    "Передача контекста завершена: 3 247 из 4 000 токенов.",
    "代理甲把任务交给代理乙,上下文必须完整。",
    "エージェントが引き継ぎを行い、ビューは予算内に収まりました。",
    "에이전트가 컨텍스트를 다음 단계로 전달했습니다.",
    "الوكيل سلّم المهمة إلى الوكيل التالي ٣ مرات.",
    "סוכן אחד מסר את ההקשר לסוכן הבא.",
    "एजेंट ने संदर्भ अगले चरण को सौंप दिया।",
    "ตัวแทนส่งต่องานให้ตัวแทนถัดไปโดยไม่สูญเสียบริบท",
    "Đại lý đã chuyển giao ngữ cảnh cho bước tiếp theo.",
]
CODE = [
    "fn main() {\n    let total: u64 = items.iter().map(|item| item.tokens).sum();\n    println!(\"{total}\");\n}\n",
    "def hand_off(self, to, payload=None):\n    if payload is None:\n        payload = {}\n\n    return self.mesh.send(to, **payload)  # done\n",
    "SELECT agent, COUNT(*) AS hops\n  FROM ledger\n WHERE status <> 'completed'\n GROUP BY agent;\n",
    "#!/usr/bin/env bash\nset -euo pipefail\nfor f in /var/log/*.log; do\n\tgzip -9 \"$f\" && rm -f \"$f\" || true\ndone\n",
    "if (a<b && c>=d) { return a->next[0] ^ 0xFF; } // XOR\r\n",
    "<div class=\"view\"><p>used&nbsp;3,247</p></div>\n<!-- end -->\n",
    "https://example.com/a/b/c?x=1&y=%20#top //// \n//\n///\r\n\r\n",
    "HTTPServerXMLParser parseJSONFromURL camelCaseWORD ABCdef aBCDe Ab1Cd2",
]
# What the pattern treats in a way of its own: in the order of its alternatives.
ODD = [
    "'s", "'S", "'ſ", "'t", "'RE", "'ve", "'Ll", "'m", "'D", "'", "''s", "'x",
    "Ab", "AB", "aB", "ǅ", "ʰ", "ª", "中", "中A", "A中", "é", "e\u0301", "\u0301", "\u0301\u0301A", "!\u0301", "\u200d",
    "1", "12", "123", "1234", "٣٤٥٦", "Ⅷ", "½", "²",
    "!", "!!", " !", "  !", "?!\n", "/", "//\n/", "\\", "_", "$", "—", "…", "🦀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "\ufeff", "\x00", "\x7f",
    "\n", "\r\n", "\n\n\n", " \n", "\n ", "\t\n\t", "\u2028", "\u0085",
    " ", "  ", "   ", "\t", "\u00a0", "\u3000", "\u2003 ", "\v\f",
    "<|endoftext|>", "<|endofprompt|>", "<|im_start|>", "\ue000", "\U0010ffff", "\U000e0100", "ﷺ", "ÿ", "ß", "İ", "ſ", "K",
]


def ranks_of(path):
    """The vocabulary: the rank of each token, checked by tiktoken's own hash."""
    import hashlib

    raw = open(path, "rb").read()
    assert hashlib.sha256(raw).hexdigest() == SHA256, f"{path} is another vocabulary"
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in raw.splitlines())}


def encoding(ranks):
    special = {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}
    return tiktoken.Encoding(name="o200k_base", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special)


def document(dice, depth=0):
    kind = dice.randrange(7 if depth < 3 else 5)
    if kind == 0:
        return dice.choice([None, True, False, 0, -1, 3.25, 1e300, 2**63])
    if kind == 1:
        return dice.randrange(10 ** dice.randrange(1, 12))
    if kind in (2, 3, 4):
        return dice.choice(SENTENCES + CODE)[: dice.randrange(40)]
    if kind == 5:
        return [document(dice, depth + 1) for _ in range(dice.randrange(5))]
    return {dice.choice(["id", "key", "task", "größe", "used_tokens", "a b"]): document(dice, depth + 1) for _ in range(4)}


def one(dice, kind, size):
    """A text of this kind, about as long as `size`."""
    if kind == "prose":
        return dice.choice([" ", "\n", "  ", "\n\n", ""]).join(dice.choice(SENTENCES) for _ in range(size // 80 + 1))
    if kind == "code":
        return "".join(dice.choice(CODE) for _ in range(size // 60 + 1))
    if kind == "json":
        return json.dumps(document(dice), ensure_ascii=dice.random() < 0.5, indent=dice.choice([None, 2, 4]))
    if kind == "base64":
        return base64.b64encode(dice.randbytes(size)).decode()
    if kind == "hex":
        return dice.randbytes(size // 2).hex()
    if kind == "odd":
        return "".join(dice.choice(ODD) for _ in range(size // 2 + 1))
    if kind == "mixed":
        pool = ODD + [word for text in SENTENCES + CODE for word in text.split(" ")]
        return dice.choice(["", "", " "]).join(dice.choice(pool) for _ in range(size // 4 + 1))
    if kind == "same":
        return dice.choice(ODD + list("axX0 .-=\n")) * (size + 1)
    if kind == "few":
        some = dice.sample(ODD + list("abcXYZ"), 3)
        return "".join(dice.choice(some) for _ in range(size // 2 + 1))
    if kind == "letters":
        return "".join(chr(dice.randrange(0x20, 0x7F)) for _ in range(size))
    assert kind == "any"
    planes = [0x80, 0x300, 0x3000, 0xD800, 0x10FFFF]
    codes = [dice.randrange(dice.choice(planes)) for _ in range(size)]
    return "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)


KINDS = ["prose", "code", "json", "base64", "hex", "odd", "mixed", "same", "few", "letters", "any"]


def random_texts(seed, many, longest=600):
    dice = random.Random(seed)
    return [one(dice, dice.choice(KINDS), int(longest ** dice.random())) for _ in range(many)]


def golden():
    """Two hundred texts: each piece by itself, and random ones."""
    texts = ["", "Hand the invoice to the next agent.", *SENTENCES, *CODE, *ODD]
    return texts + random_texts(4821, 200 - len(texts), 1200)

"""The text of a view (section 25): what is fixed, then the memories in the order of the chain.

What somebody wrote stands in a fence that it cannot end, or on one line that it cannot leave.
"""

import json
import unicodedata

from objects import is_large
from wire import get, list_of, members, object_of

FULL_ENTRIES = 8  # of the history
ENTRY_LINE = 120  # characters of an older one
# What Unicode says to be of no width, to reorder, or to be ignored, where its category does not say so.
IGNORED = [
    (0x34F, 0x34F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F), (0x2028, 0x202E),
    (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF), (0xAD, 0xAD), (0x61C, 0x61C), (0xFEFF, 0xFEFF),
]
ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def shown(text):
    """A text on one line, without characters that act on the reader."""
    return "".join(
        ESCAPES.get(c, f"\\u{{{ord(c):x}}}")
        if unicodedata.category(c) == "Cc" or any(first <= ord(c) <= last for first, last in IGNORED) else c
        for c in text
    )


def quoted(text, most):
    return shown(text) if len(text) <= most else f"{shown(text[:most])}... ({len(text.encode())} bytes)"


def block(header, text):
    """A header, and a text in a fence that is longer than any run of backticks in it."""
    longest, run = 0, 0
    for c in text:
        run = run + 1 if c == "`" else 0
        longest = max(longest, run)
    fence = "`" * max(3, longest + 1)
    return f"{header}\n{fence}\n{text}\n{fence}\n"


def labelled(fields):
    return "\n".join(f"{name}: {value}" for name, value in fields if value is not None)


# ---- what is in every view -----------------------------------------------------------------------------------------

def fixed_parts(envelope):
    """Constraints, task, expectations, payload and history of an envelope, each part by its name."""
    task, expects = object_of(envelope, "task"), object_of(envelope, "expects")
    told = [
        ("constraints", text_of(envelope, "constraints")),
        ("goal", get(task, "goal")),
        ("state", get(task, "state")),
        ("ask", get(task, "ask")),
        ("expects", expected(expects)),
        ("payload", payload_of(envelope)),
    ]
    parts = [(name, block(f"## {name}", text)) for name, text in told if text is not None]
    history = [members(entry) for entry in list_of(envelope, "history")]
    older, newer = history[:-FULL_ENTRIES], history[-FULL_ENTRIES:]
    if older:
        lines = "\n".join(older_entry(entry) for entry in older)
        parts.append(("earlier history", block("## earlier history", lines)))
    if newer:
        parts.append(("history", "".join(newer_entry(entry) for entry in newer)))
    return parts


def text_of(fields, name):
    """The text of a member, as it was written; None where it is absent."""
    text = fields.get(name)
    return None if text == "null" else text


def payload_of(envelope):
    """The payload where it is text and stands in the envelope."""
    payload = text_of(envelope, "payload")
    if payload is None or get(envelope, "payload_encoding") is not None or text_of(envelope, "payload_ref") is not None:
        return None
    if is_large(payload):
        return None
    return json.loads(payload) if payload[0] == '"' else payload


def expected(expects):
    characters = lambda name: f"{expects[name]} characters" if text_of(expects, name) is not None else None
    told = labelled([
        ("format", get(expects, "format")),
        ("length", get(expects, "length")),
        ("quality", get(expects, "quality")),
        ("at least", characters("min_length")),
        ("at most", characters("max_length")),
        ("schema", text_of(expects, "schema")),
    ])
    return told or None


def author_of(entry):
    version = get(entry, "version")
    return get(entry, "agent") + (f"@{version}" if version else "")


def newer_entry(entry):
    refs = ", ".join(get(entry, "refs", []))
    told = [(name, get(entry, name)) for name in ("did", "decided", "why")] + [("refs", refs or None)]
    return block(f"## history of {author_of(entry)}", labelled(told))


def older_entry(entry):
    said = get(entry, "decided")
    said = get(entry, "did", "") if said is None else said
    return f"{author_of(entry)}: {quoted(said, ENTRY_LINE)}"


# ---- a memory ------------------------------------------------------------------------------------------------------

def is_text(media):
    """Whether a view shows the content itself: text of any kind, and JSON."""
    if media is None:
        return True
    media = media.split(";")[0].strip().lower()
    return media.startswith("text/") or media == "application/json" or media.endswith("+json")


def decoded(content):
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        return None


def item(entry, level, content=None):
    """A memory at a level: `full`, `summary`, `ref` or `dropped`. Without a content, `full` says that there is none."""
    media, summary, text = entry.of("media"), entry.of("summary"), decoded(content)
    what = f"{entry.key} {entry.of('kind')} by {shown(entry.by)}"
    if level not in ("full", "summary", "ref"):
        return ""
    if level == "summary" and summary is not None:
        return block(f"### {what}, summary", summary)
    if level == "full" and text is not None and is_text(media):
        return block(f"### {what}", text)
    title = entry.of("title")
    line = f"- {what}" + (f": {shown(title)}" if title is not None else "")
    if level == "full" and content is None:
        return f"{line} (not readable)\n"
    if not is_text(media) or content is not None and text is None:
        return f"{line} ({shown(media or 'no text')}, {entry.of('bytes')} bytes)\n"
    return f"{line}\n"


def render(envelope, items, read):
    """The text: the items are memories with their levels; `read` has the content of one, or None."""
    text = "".join(part for _, part in fixed_parts(envelope))
    return text + "".join(item(entry, level, read(entry) if level == "full" else None) for entry, level in items)

"""What stands on the wire: JSON that keeps its spelling, times and ids (sections 2 and 6 of docs/protocol.md).

`json.loads` turns 1.50 into 1.5. So an object is a dict from a name to the text of its value, and a value is parsed
only where it is used.
"""

import hashlib
import json
import re
import secrets
import time
from datetime import datetime, timezone


def refuse_constant(name):
    raise ValueError(f"{name} is no JSON")


SCANNER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=refuse_constant)
SPACE = re.compile(r"[ \t\r\n]*")


def skip(text, at):
    return SPACE.match(text, at).end()


def members(text):
    """The members of a JSON object: each name with the text of its value."""
    found, at = {}, skip(text, 0)
    if text[at : at + 1] != "{":
        raise ValueError("not a JSON object")
    at = skip(text, at + 1)
    while text[at] != "}":
        name, at = SCANNER.raw_decode(text, at)
        start = skip(text, skip(text, at) + 1)  # after the colon
        _, end = SCANNER.raw_decode(text, start)
        found[name] = text[start:end]
        at = skip(text, end)
        if text[at] == ",":
            at = skip(text, at + 1)
    return found


def elements(text):
    """The elements of a JSON array, each as its text."""
    found, at = [], skip(text, skip(text, 0) + 1)
    while text[at] != "]":
        _, end = SCANNER.raw_decode(text, at)
        found.append(text[at:end])
        at = skip(text, end)
        if text[at] == ",":
            at = skip(text, at + 1)
    return found


def to_json(value):
    """The text of a value that this program made."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def to_object(fields):
    """The text of an object; members without a value are left out."""
    return "{" + ",".join(f"{to_json(name)}:{text}" for name, text in fields.items() if text is not None) + "}"


def get(fields, name, default=None):
    """The value of a member. Null means absent."""
    text = fields.get(name)
    return default if text is None or text == "null" else json.loads(text)


def object_of(fields, name):
    """The members of a member that is an object; none where it is absent."""
    text = fields.get(name)
    return {} if text is None or text == "null" else members(text)


def list_of(fields, name):
    """The elements of a member that is an array, each as its text; none where it is absent."""
    text = fields.get(name)
    return [] if text is None or text == "null" else elements(text)


def listed(texts):
    """The text of an array of these."""
    return "[" + ",".join(texts) + "]"


# ---- times and ids

def now():
    return datetime.now(timezone.utc)


def time_text(when):
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"


def parse_time(text):
    day, clock, fraction, zone = re.fullmatch(r"(.{10})[Tt ](.{8})(\.\d+)?(.+)", text).groups()
    zone = "+00:00" if zone in "Zz" else zone
    return datetime.fromisoformat(f"{day}T{clock}{((fraction or '.0') + '000000')[:7]}{zone}")


def uuid7():
    bits = (int(time.time() * 1000) << 80) | (7 << 76) | (secrets.randbits(12) << 64) | (2 << 62) | secrets.randbits(62)
    digits = f"{bits:032x}"
    return "-".join([digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]])


def hash_of(data):
    """The SHA-256 of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def token_of(version):
    return version.replace(".", "_").replace("+", "=")

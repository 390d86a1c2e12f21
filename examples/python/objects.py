"""Objects (section 24): content that never changes, stored once for each tree and named by its hash."""

import base64
import json
import time

from connection import stored_message
from outcomes import Retry, Unread
from wire import get, hash_of, members, to_json

PIECE = 262_144  # what one message holds
MOST = 64 * 1024 * 1024  # what an object holds
MOST_MESSAGES = 10_000  # of a tree
MOST_BYTES = 256 * 1024 * 1024  # of a tree
LARGE = 65_536  # a payload or a result of more JSON than that is an object
PLACES = 4
JSON, BYTES = "application/json", "application/octet-stream"


class Objects:
    """The objects of one tree. What was read or written once is not read again."""

    def __init__(self, nats, namespace, tree):
        self.nats, self.namespace, self.tree, self.known = nats, namespace, tree, {}
        self.stream = f"{namespace.upper()}_CONTEXT"

    def subject(self, token):
        return f"{self.namespace}.context.{self.tree}.{token}"

    def fault(self, code, name, problem):
        return Unread(code, f"object {name} of tree {self.tree}: {problem}")

    def stored(self, token):
        """The body on a subject, by the word of the leader; None where there is none."""
        found = stored_message(self.nats, self.stream, {"last_by_subj": self.subject(token)})
        return None if found is None else base64.b64decode(found.get("data", ""))

    # -- reading

    def read(self, name, at=None, size=None):
        """The content that a hash names; every byte of it is compared."""
        if name not in self.known:
            token = name if at is None else at
            if token not in [name] + [f"{name}-{place}" for place in range(2, PLACES + 1)]:
                raise self.fault("CONTEXT_CORRUPT", name, f"{token} is no place of it")
            body = self.stored(token)
            if body is None:
                raise self.fault("CONTEXT_MISSING", name, "it is not there")
            self.known[name] = body if hash_of(body) == name else self.joined(name, body)
        if size is not None and len(self.known[name]) != size:
            raise self.fault("CONTEXT_CORRUPT", name, f"it has {len(self.known[name])} bytes, not {size}")
        return self.known[name]

    def joined(self, name, body):
        """The content of the pieces that a list names."""
        try:
            listed = json.loads(body)
            size, pieces = int(listed["bytes"]), list(listed["pieces"])
            is_list = listed["object"] == 1 and PIECE < size <= MOST and len(pieces) == -(-size // PIECE)
        except (ValueError, KeyError, TypeError):
            is_list = False
        if not is_list:
            raise self.fault("CONTEXT_CORRUPT", name, "its bytes have another hash")
        content = bytearray()
        for piece in pieces:
            part = self.stored(piece)
            if part is None:
                raise self.fault("CONTEXT_MISSING", name, f"its piece {piece} is not there")
            if hash_of(part) != piece:
                raise self.fault("CONTEXT_CORRUPT", name, f"its piece {piece} has other bytes")
            content += part
        if len(content) != size or hash_of(content) != name:
            raise self.fault("CONTEXT_CORRUPT", name, "its pieces are of something else")
        return bytes(content)

    # -- writing

    def write(self, content, media):
        """Stores content, and names it: the text of an ObjectRef."""
        if len(content) > MOST:
            raise Retry("CONTEXT_FULL", f"an object has {len(content)} bytes, and {MOST} are the most")
        name, pieces = hash_of(content), []
        if len(content) > PIECE:
            pieces = [content[start : start + PIECE] for start in range(0, len(content), PIECE)]
        self.has_room(len(content), len(pieces) + 1)
        for piece in pieces:
            if not self.put(hash_of(piece), piece, "whole", BYTES, len(piece)):
                raise self.fault("CONTEXT_CORRUPT", name, "the place of a piece has other bytes")
        names = [hash_of(piece) for piece in pieces]
        body = to_json({"object": 1, "bytes": len(content), "pieces": names}).encode() if pieces else content
        for place in range(1, PLACES + 1):  # In the places before, somebody has put junk.
            at = None if place == 1 else f"{name}-{place}"
            if self.put(at or name, body, "pieces" if pieces else "whole", media, len(content)):
                self.known[name] = content
                told = {"hash": name, "bytes": len(content), "media": media}
                return to_json({**told, "at": at} if at else told)
        raise self.fault("CONTEXT_CORRUPT", name, "each of its places has other bytes")

    def write_named(self, content, media):
        """Stores what others name by its hash alone: it has no place but the first."""
        reference = json.loads(self.write(content, media))
        if "at" in reference:
            raise self.fault("CONTEXT_CORRUPT", reference["hash"], "its place has other bytes")
        return reference["hash"]

    def put(self, token, body, form, media, size):
        """Whether these bytes stand on the subject once the server has decided; else there are others, for ever."""
        headers = {
            "Nats-Expected-Last-Subject-Sequence": "0",
            "Baton-Object": form,
            "Baton-Media": media,
            "Baton-Bytes": str(size),
        }
        until, is_doubted = time.monotonic() + 30, False
        while time.monotonic() < until:
            answer = self.nats.request(self.subject(token), body, headers)
            said = json.loads(answer.body) if answer is not None else None
            if said is not None and "error" not in said and not said.get("duplicate"):
                return True
            code = said["error"].get("err_code") if said is not None and "error" in said else None
            if code not in (None, 10071, 10077, 10164):
                raise Retry("CONTEXT_FULL", f"the stream {self.stream} refused an object: {said['error']}")
            # A refusal is no proof that it is there: the leader shows the bytes.
            patience = time.monotonic() + (2 if code in (10077, 10164) else 0)
            found = self.stored(token) if code is not None else None
            while found is None and time.monotonic() < patience:
                time.sleep(0.05)
                found = self.stored(token)
            if found is not None:
                return found == body
            if code == 10077 and is_doubted:
                raise Retry("CONTEXT_FULL", f"the stream {self.stream} is full")
            is_doubted = is_doubted or code == 10077
            time.sleep(0.05)
        raise ConnectionError(f"no answer to an object on {self.subject(token)}")

    def has_room(self, size, messages):
        """Keeps to the limits of a tree. Its bytes are counted only where so many messages could pass the limit."""
        question = to_json({"subjects_filter": self.subject("*")})
        answer = self.nats.request(f"$JS.API.STREAM.INFO.{self.stream}", question)
        if answer is None:
            raise ConnectionError(f"no answer about {self.stream}")
        tokens = [subject.split(".")[-1] for subject in json.loads(answer.body)["state"].get("subjects") or {}]
        if len(tokens) + messages > MOST_MESSAGES:
            raise Retry("CONTEXT_FULL", f"tree {self.tree} would have more than {MOST_MESSAGES} objects")
        if (len(tokens) + messages) * PIECE <= MOST_BYTES:
            return
        if sum(len(self.stored(token) or b"") for token in tokens) + size > MOST_BYTES:
            raise Retry("CONTEXT_FULL", f"tree {self.tree} would have more than {MOST_BYTES} bytes of objects")


# ---- what a reference stands for -----------------------------------------------------------------------------------

def body_of(objects, reference):
    """The JSON that a reference stands for, and its encoding: `base64` for bytes."""
    fields = members(reference)
    content = objects.read(get(fields, "hash"), get(fields, "at"), get(fields, "bytes"))
    media = get(fields, "media", BYTES).split(";")[0].strip().lower()
    try:
        if media == JSON:
            return content.decode(), None
        if media.startswith("text/"):
            return to_json(content.decode()), None
    except UnicodeDecodeError:
        raise objects.fault("CONTEXT_CORRUPT", get(fields, "hash"), f"it is no {media}") from None
    return to_json(base64.b64encode(content).decode()), "base64"


def content_of(body, encoding):
    """The bytes that JSON stands for, and their media type."""
    if encoding == "base64":
        return base64.b64decode(json.loads(body)), BYTES
    return body.encode(), JSON


def is_large(body):
    return body is not None and len(body.encode()) > LARGE


def by_reference(objects, body, encoding=None):
    """The reference to the object that holds a large body."""
    return objects.write(*content_of(body, encoding))

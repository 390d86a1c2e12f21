"""An agent of Baton in Python, from docs/protocol.md alone: the standard library, and the NATS protocol over a socket.

It is made to be read and copied. Section numbers are those of docs/protocol.md. It runs one hop at a time, treats no
delivery as fresh (section 12, 2), so it claims every hop, and ends when it loses its connection: whoever runs it starts
it again, and the ledger has lost nothing. It speaks plain `nats://` without TLS, and trusts the clock of its machine. To
use it:

    import agent
    def handle(hop):
        text = hop.step("fetch", lambda: fetch(hop.payload()))
        return agent.HandOff("review", agent.to_json(text))
    agent.main("research", "1.0.0", handle)
"""

import base64
import hashlib
import itertools
import json
import os
import queue
import random
import re
import secrets
import signal
import socket
import threading
import time
from datetime import datetime, timedelta, timezone
from urllib.parse import urlparse

PROTOCOL = (1, 2, 0)
MAX_ATTEMPTS = 3
BANDS = {
    "one": ["p1-10"],
    "three": ["p8-10", "p4-7", "p1-3"],
    "ten": [f"p{priority}" for priority in range(10, 0, -1)],
}
TICKET = {"pending", "accepted", "in_progress"}
TERMINAL = {"completed", "rejected", "failed", "cancelled", "timed_out"}
KNOWN = TICKET | TERMINAL | {"waiting", "parked", "compensating"}
LIMITS = ("in_flight", "rate_per_hour")


# ---- JSON that keeps the spelling of every value (section 6) -------------------------------------------------------
# `json.loads` turns 1.50 into 1.5. So an object is a dict from a name to the text of its value, and a value is parsed
# only where it is used.

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


# ---- must-carry constraints (section 7) ----------------------------------------------------------------------------

ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def canonical_string(value):
    return '"' + "".join(ESCAPES.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in value) + '"'


def canonical(text, level=1):
    if text[0] not in '{["':
        return text
    if text[0] == '"':
        return canonical_string(json.loads(text))
    if level > 128:
        return text
    if text[0] == "[":
        return "[" + ",".join(canonical(element, level + 1) for element in elements(text)) + "]"
    sorted_members = sorted(members(text).items(), key=lambda member: member[0].encode())
    return "{" + ",".join(f"{canonical_string(n)}:{canonical(v, level + 1)}" for n, v in sorted_members) + "}"


def constraints_hash(text):
    return hashlib.sha256(canonical(text).encode()).hexdigest()


# ---- times and ids (sections 2 and 6) ------------------------------------------------------------------------------

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


def token_of(version):
    return version.replace(".", "_").replace("+", "=")


# ---- the NATS protocol ---------------------------------------------------------------------------------------------

class Message:
    def __init__(self, subject, reply, status, headers, body):
        self.subject, self.reply, self.status, self.headers, self.body = subject, reply, status, headers, body


class Nats:
    """A connection: publish, and request with one answer or a stream of them."""

    def __init__(self, url):
        parts = urlparse(url)
        self.socket = socket.create_connection((parts.hostname, parts.port or 4222), timeout=10)
        self.socket.settimeout(None)
        self.file = self.socket.makefile("rb")
        self.lock, self.waiting, self.numbers = threading.Lock(), {}, itertools.count(1)
        self.inbox = f"_INBOX.{secrets.token_hex(11)}"
        json.loads(self.file.readline().split(b" ", 1)[1])  # INFO
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "lang": "python"}
        if parts.username:
            options.update({"user": parts.username, "pass": parts.password or ""})
        self.send(f"CONNECT {json.dumps(options)}\r\nPING\r\n".encode())
        while True:  # The server answers PONG once it has taken that, or says why not.
            line = self.file.readline()
            if line.startswith(b"PONG"):
                break
            if not line or line.startswith(b"-ERR"):
                raise ConnectionError(line.decode() or "the server closed the connection")
        threading.Thread(target=self.read, daemon=True).start()

    def send(self, data):
        with self.lock:
            self.socket.sendall(data)

    def read(self):
        try:
            self.read_messages()
        except (OSError, ValueError):
            pass
        print("the connection is gone", flush=True)
        os._exit(1)

    def read_messages(self):
        while line := self.file.readline():
            words = line.split()
            if words[0] == b"PING":
                self.send(b"PONG\r\n")
            elif words[0] in (b"MSG", b"HMSG"):
                with_headers = words[0] == b"HMSG"
                size, head_size = int(words[-1]), int(words[-2]) if with_headers else 0
                data = self.file.read(size + 2)[:-2]
                names = words[1 : -2 if with_headers else -1]
                number, reply = int(names[1]), names[2].decode() if len(names) == 3 else None
                status, headers = parse_head(data[:head_size])
                message = Message(names[0].decode(), reply, status, headers, data[head_size:])
                # By the number of the subscription: a ticket that was pulled keeps the subject that it was stored on.
                waiting = self.waiting.get(number)
                if waiting is not None:
                    waiting.put(message)
            elif words[0] == b"-ERR":
                print(line.decode().strip(), flush=True)

    def publish(self, subject, body=b"", headers=None, reply=""):
        body = body.encode() if isinstance(body, str) else body
        if headers:
            head = "NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
            head = head.encode()
            first = f"HPUB {subject} {reply} {len(head)} {len(head) + len(body)}\r\n".encode()
            self.send(first + head + body + b"\r\n")
        else:
            self.send(f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + b"\r\n")

    def listen(self, subject):
        """A queue of what comes on a subject."""
        number, heard = next(self.numbers), queue.Queue()
        self.waiting[number] = heard
        self.send(f"SUB {subject} {number}\r\n".encode())
        return heard

    def answers(self, subject, body=b"", headers=None, timeout=5.0):
        """The answers to a request, as they come, until none came for the time."""
        number = next(self.numbers)
        inbox = f"{self.inbox}.{number}"
        self.waiting[number] = waiting = queue.Queue()
        try:
            self.send(f"SUB {inbox} {number}\r\n".encode())
            self.publish(subject, body, headers, inbox)
            while True:
                yield waiting.get(timeout=timeout)
        except queue.Empty:
            return
        finally:
            self.send(f"UNSUB {number}\r\n".encode())
            del self.waiting[number]

    def request(self, subject, body=b"", headers=None, timeout=5.0):
        """The answer; None when there is none, or nobody listens."""
        for answer in self.answers(subject, body, headers, timeout):
            return None if answer.status == 503 else answer
        return None


def parse_head(data):
    lines = data.decode("utf-8", "replace").split("\r\n")
    first, headers = lines[0].split(" "), {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name, value.strip())  # The first counts.
    return (int(first[1]) if len(first) > 1 and first[1] else None), headers


# ---- the ledger (sections 8 to 10) ---------------------------------------------------------------------------------

class Lost(Exception):
    """The hop is somebody else's, or over: what was done here does not count."""


class Head:
    """A record with its sequence, and when the server stored it."""

    def __init__(self, seq, body, stored):
        self.seq, self.body, self.stored = seq, body, stored
        self.record = members(body)
        self.snapshot = members(self.record["snapshot"])
        self.event = get(members(self.record["event"]), "type")

    def status(self):
        return get(members(self.snapshot["status"]), "state")

    def has_ticket(self):
        return self.status() in TICKET

    def is_given_back(self):
        given_back = get(self.snapshot, "given_back")
        if given_back is None:  # Writers before 1.2 leave it out.
            return self.event in ("released", "retry_scheduled", "repinned")
        return given_back == get(self.snapshot, "epoch", 0)


class Ledger:
    def __init__(self, nats, namespace):
        self.nats, self.namespace = nats, namespace
        self.stream = f"{namespace.upper()}_LEDGER"

    def subject(self, intent):
        return f"{self.namespace}.ledger.0.{intent}"

    def head(self, intent):
        """The last record, from the leader of the stream, so that it is right with any number of replicas."""
        return self.ask({"last_by_subj": self.subject(intent)})

    def at(self, seq):
        return self.ask({"seq": seq})

    def ask(self, question):
        answer = stored_message(self.nats, self.stream, question)
        if answer is None:
            return None
        return Head(answer["seq"], base64.b64decode(answer.get("data", "")).decode(), parse_time(answer["time"]))

    def history(self, intent, first, through):
        """All records from one sequence through another that surely exists, in batches of 256."""
        found, seq = [], first
        for _ in range(1000):
            before = seq
            question = to_json({"seq": seq, "next_by_subj": self.subject(intent), "batch": 256})
            for answer in self.nats.answers(f"$JS.API.DIRECT.GET.{self.stream}", question):
                if answer.status is not None:  # 204 ends the batch, 404 says that there is nothing.
                    break
                stored = parse_time(answer.headers["Nats-Time-Stamp"])
                found.append(Head(int(answer.headers["Nats-Sequence"]), answer.body.decode(), stored))
                seq = found[-1].seq + 1
            if found and found[-1].seq >= through:
                return found
            if seq == before:
                time.sleep(0.05)  # This replica lags.
        raise ConnectionError(f"no replica has the record {through}")


def stored_message(nats, stream, question):
    for _ in range(30):
        answer = nats.request(f"$JS.API.STREAM.MSG.GET.{stream}", to_json(question))
        if answer is not None:
            document = json.loads(answer.body)
            if "message" in document:
                return document["message"]
            if document["error"].get("err_code") == 10037:
                return None
        time.sleep(1)
    raise ConnectionError(f"no answer from {stream}")


# ---- what a handler may say ----------------------------------------------------------------------------------------

class Complete:
    def __init__(self, result="null"):
        self.result = result


class HandOff:
    def __init__(self, to, payload="null", kind=None):
        self.to, self.payload, self.kind = to, payload, kind


class Next:
    """To whoever is next by the itinerary or the pipeline; where nobody is, the payload is the result."""

    def __init__(self, payload="null", kind=None):
        self.payload, self.kind = payload, kind


class Broadcast:
    """To each of these agents a copy, as a message of the channel (section 23); the intent is done when all have ended."""

    def __init__(self, channel, receivers, payload="null", kind=None):
        self.channel, self.receivers, self.payload, self.kind = channel, receivers, payload, kind


class Suspended(Exception):
    """The hop asks others (section 21), and runs again when they have ended. A handler does not catch it."""

    def __init__(self, name, to, payloads):
        super().__init__(f"the call {name} of {to}")
        self.name, self.to, self.payloads = name, to, payloads


class Problem(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


class Retry(Problem):
    """Try again, after so many seconds or with the usual delay; parked when the attempts are used up."""

    def __init__(self, code, message, seconds=None):
        super().__init__(code, message)
        self.seconds = seconds


class Fail(Problem):
    """Failed for good."""


class Reject(Problem):
    """Declined."""


class Park(Problem):
    """Set aside for a person."""


# ---- one hop (section 12) ------------------------------------------------------------------------------------------

class Hop:
    """What a handler works with, and all that this program knows of the hop that it holds."""

    def __init__(self, worker, head, envelope, ack):
        self.worker, self.intent, self.ack = worker, get(head.record, "intent"), ack
        self.snapshot, self.seq, self.envelope = head.snapshot, head.seq, envelope
        self.steps, self.calls, self.over, self.lock = {}, {}, False, threading.RLock()
        self.began = time.monotonic()
        deadline = get(self.snapshot, "deadline")
        self.deadline = parse_time(deadline) if deadline else None

    @property
    def number(self):
        return get(self.snapshot, "hop", 0)

    @property
    def attempt(self):
        return get(self.snapshot, "attempt", 0)

    def payload(self):
        """The text of the payload, as it was written."""
        return self.envelope.get("payload", "null")

    def check(self):
        """Raises Lost once the hop is not this program's any more. Long handlers call it now and then."""
        if self.over:
            raise Lost()

    def step(self, name, effect):
        """The result of an effect, as JSON text; run once, recorded, and never run again in a later attempt."""
        if name in self.steps:
            return self.steps[name]
        self.check()
        result = effect(f"{self.intent}:{self.number}:{name}")
        step = to_object({"name": to_json(name), "result": result})
        self.write({"type": "step"}, {"state": "in_progress"}, {}, {"step": step})
        self.steps[name] = result
        return result

    def call(self, name, to, payloads):
        """What one child for each payload came to, as JSON texts in this order. Nothing is held while they work."""
        if name not in self.calls:
            self.check()
            raise Suspended(name, to, payloads)
        return [self.worker.came_to(self.intent, end) for end in self.calls[name]]

    def still_held(self, head):
        """Whether somebody else only added a record (section 10)."""
        holder = get(head.snapshot, "holder")
        return (
            head.has_ticket()
            and head.snapshot.get("epoch") == self.snapshot.get("epoch")
            and head.snapshot.get("envelope") == self.snapshot.get("envelope")
            and holder in (None, self.worker.instance)
        )

    def write(self, event, status, changes, fields, may_rebase=True):
        """Writes one record after the head that this hop knows, and follows a head to which others only added."""
        with self.lock:
            self.check()
            while True:
                snapshot = follow(self.snapshot, self.seq, status, changes(self) if callable(changes) else changes)
                stands, head = self.worker.write(self.intent, self.seq, event, status, snapshot, fields)
                if stands:
                    self.snapshot, self.seq = head.snapshot, head.seq
                    return head
                if not may_rebase or not self.still_held(head):
                    self.over = True
                    raise Lost()
                self.snapshot, self.seq = head.snapshot, head.seq

    def raised(self, **changes):
        """The changes of an event that takes the hop from its holder."""
        epoch = get(self.snapshot, "epoch", 0) + 1
        return {"epoch": to_json(epoch), "holder": None, "given_back": None, **changes}

    def end(self, event, status, changes, fields, last=b"+ACK"):
        """Commits, settles, then acks: in this order, or a crash would lose the work or do it twice."""
        with self.lock:
            took = to_json(int((time.monotonic() - self.began) * 1000))
            head = self.write(event, status, changes, {"took_ms": took, **fields})
            self.over = True
        self.worker.settle(head)
        self.worker.nats.publish(self.ack, last)


def follow(snapshot, seq, status, changes):
    """The snapshot after a record (section 9), unknown fields included."""
    after = dict(snapshot)
    after["status"] = to_json(status)
    after["updated_at"] = to_json(time_text(now()))
    after.pop("wake_at", None)
    if "envelope" in after and "envelope_seq" not in after:
        after["envelope_seq"] = to_json(seq)
    after.update(changes)
    return {name: text for name, text in after.items() if text is not None}


class Worker:
    """One process that runs an agent's hops, one after the other."""

    def __init__(self, nats, namespace, agent, version, handle):
        self.nats, self.namespace, self.agent, self.version = nats, namespace, agent, version
        self.handle, self.instance = handle, f"py-{secrets.token_hex(6)}"
        self.ledger = Ledger(nats, namespace)
        self.work = f"{namespace.upper()}_WORK_{agent}"
        self.stopping, self.hop = threading.Event(), None
        self.share, self.in_use, self.next_start, self.share_lock = {"revision": 0}, 0, 0.0, threading.Lock()
        self.bands = self.prepare()
        self.learn_share()

    # -- the stream and the consumers (section 4)

    def api(self, verb, body=None):
        answer = self.nats.request(f"$JS.API.{verb}", to_json(body) if body is not None else b"")
        if answer is None:
            raise ConnectionError(f"no answer to {verb}")
        return json.loads(answer.body)

    def prepare(self):
        """Creates what is missing of the work stream and of this version's consumers."""
        config = self.api(f"STREAM.INFO.{self.ledger.stream}").get("config")
        if config is None:
            raise ConnectionError(f"there is no mesh {self.namespace} on this server")
        said = config.get("metadata", {})
        if said.get("baton.shards", "1") != "1":
            raise ConnectionError(f"the ledger has {said['baton.shards']} shards; this agent knows 1")
        stream = {
            "name": self.work,
            "subjects": [f"{self.namespace}.work.{self.agent}.*.*"],
            "retention": "workqueue",
            "discard": "new",
            "storage": "file",
            "allow_direct": True,
            "duplicate_window": 120_000_000_000,
            "num_replicas": config.get("num_replicas", 1),
        }
        if said.get("baton.tickets") == "async":
            stream["persist_mode"] = "async"
        if "error" in self.api(f"STREAM.INFO.{self.work}"):
            self.api(f"STREAM.CREATE.{self.work}", stream)
        bands = BANDS[said.get("baton.bands", "three")]
        for band in bands:
            name = f"{token_of(self.version)}_{band}"
            if "error" not in self.api(f"CONSUMER.INFO.{self.work}.{name}"):
                continue
            first, _, last = band[1:].partition("-")
            subject = f"{self.namespace}.work.{self.agent}.{token_of(self.version)}"
            consumer = {
                "durable_name": name,
                "filter_subjects": [f"{subject}.p{p}" for p in range(int(last or first), int(first) - 1, -1)],
                "deliver_policy": "all",
                "ack_policy": "explicit",
                "ack_wait": 10_000_000_000,
                "max_deliver": -1,
                "max_ack_pending": 100_000,
            }
            request = {"stream_name": self.work, "config": consumer}
            self.api(f"CONSUMER.DURABLE.CREATE.{self.work}.{name}", request)
        return bands

    # -- the guarded write (section 10)

    def write(self, intent, expected, event, status, snapshot, fields):
        """Whether the record stands, with its head; else the head that came first."""
        record_id = uuid7()
        by = {"role": "worker", "instance": self.instance, "agent": self.agent, "version": self.version}
        body = to_object({
            "protocol": to_json("1.2.0"),
            "id": to_json(record_id),
            "intent": to_json(intent),
            "event": to_json(event),
            "at": snapshot["updated_at"],
            "by": to_json(by),
            "snapshot": to_object(snapshot),
            **fields,
        })
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(expected),
            "Baton-Event": event["type"],
            "Baton-Status": status["state"],
        }
        unanswered, until = False, time.monotonic() + 30
        while time.monotonic() < until:
            answer = self.nats.request(self.ledger.subject(intent), body, headers)
            if answer is not None:
                said = json.loads(answer.body)
                if "error" not in said:
                    return True, Head(said["seq"], body, now())
                if said["error"].get("err_code") not in (10071, 10164):
                    raise ConnectionError(f"the ledger refused a record: {said['error']}")
            head = self.ledger.head(intent)
            if head is not None and get(head.record, "id") == record_id:
                return True, head
            if head is not None and head.seq > expected:
                # An earlier try that was not answered may stand, with other records after it.
                for one in self.ledger.history(intent, expected + 1, head.seq) if unanswered else []:
                    if get(one.record, "id") == record_id:
                        return True, one
                return False, head
            unanswered = unanswered or answer is None
            time.sleep(0.05)
        raise ConnectionError("the ledger does not answer")

    # -- settling (section 11)

    def settle(self, head):
        """Writes what a head owes: its ticket, or the answer to whoever waits for it."""
        status, holds_envelope = head.status(), get(head.record, "envelope") is not None
        is_owed = holds_envelope or not head.is_given_back()
        if status == "pending" and get(head.snapshot, "holder") is None and is_owed:
            if not holds_envelope:
                head = self.ledger.at(get(head.snapshot, "envelope_seq"))
            if head is not None and now() - head.stored < timedelta(seconds=75):
                self.ticket(head)
        elif status in TERMINAL:
            self.answer(head, status)

    def ticket(self, head):
        envelope = members(head.record["envelope"])
        token = token_of(get(head.snapshot, "version"))
        subject = f"{self.namespace}.work.{get(envelope, 'to')}.{token}.p{get(envelope, 'priority', 5)}"
        headers = {
            "Baton-Intent": get(head.record, "intent"),
            "Baton-Ledger-Sequence": str(head.seq),
            "Nats-Msg-Id": get(envelope, "id"),
        }
        for _ in range(30):
            answer = self.nats.request(subject, head.body, headers)
            if answer is not None and "error" not in json.loads(answer.body):
                return
            time.sleep(1)
        raise ConnectionError(f"no ticket could be written on {subject}")

    def answer(self, head, status):
        subject = get(head.snapshot, "reply_to")
        if subject is None or not may_answer(subject, self.namespace):
            return
        body = head.snapshot.get("result") or head.snapshot.get("error") or ""
        if get(head.snapshot, "result_encoding") == "base64":
            body = base64.b64decode(json.loads(body))
        self.nats.publish(subject, body, {"Baton-Intent": get(head.record, "intent"), "Baton-Status": status})

    # -- routes and the successor (sections 7 and 14)

    def route(self, agent):
        bucket = f"{self.namespace.upper()}_ROUTES"
        found = stored_message(self.nats, f"KV_{bucket}", {"last_by_subj": f"$KV.{bucket}.{agent}"})
        data = base64.b64decode(found.get("data", "")) if found else b""
        return json.loads(data) if data else None

    def version_for(self, agent, hop, kind):
        """The version that takes a handoff, and the newest protocol that both sides know."""
        route = self.route(agent)
        if route is None:
            raise Retry("UNKNOWN_AGENT", f"the agent {agent} has no route")
        versions = route.get("versions") or {}
        state = lambda version: (versions.get(version) or {}).get("state", "declared")
        pinned = get(hop.snapshot, "pins", {}).get(agent)
        turns = [entry["version"] for entry in get(hop.snapshot, "path", []) if entry["agent"] == agent]
        if pinned is not None:
            if pinned not in versions or state(pinned) in ("drained", "retired"):
                raise Retry("UNROUTABLE", f"{agent} is pinned to {pinned}, which takes no work")
            version = pinned
        elif turns and state(turns[-1]) not in ("drained", "retired", "quarantined"):
            version = turns[-1]
        else:
            version = self.active_or_canary(route, hop, kind)
        return version, self.protocol_for(agent, version, versions)

    def active_or_canary(self, route, hop, kind):
        canary, active = route.get("canary"), route["active"]
        order = [active]
        if canary:
            root = get(hop.snapshot, "root") or hop.intent
            bucket = int.from_bytes(hashlib.sha256(root.encode()).digest()[:8], "big") % 100
            order = [canary["version"], active] if bucket < canary["percent"] else [active, canary["version"]]
        for version in order:
            kinds = ((route.get("versions") or {}).get(version) or {}).get("kinds") or []
            if not kinds or kind is None or kind in kinds:
                return version
        raise Retry("UNROUTABLE", f"no version of {route['agent']} takes the kind {kind}")

    def protocol_for(self, agent, version, versions):
        said = (versions.get(version) or {}).get("protocol") or {}
        numbers = lambda name: tuple(int(part) for part in str(said.get(name, "1.0.0")).split("."))
        oldest, newest = numbers("oldest"), numbers("newest")
        if oldest[0] > PROTOCOL[0]:
            ranges = f"{agent}@{version} reads {said['oldest']} and newer, this agent writes 1.0.0 to 1.2.0"
            raise Park("NO_COMMON_PROTOCOL", ranges)
        return ".".join(str(part) for part in min(PROTOCOL, newest))

    def successor(self, hop, to, payload, kind):
        """The envelope of the next hop: what the handler said, and everything else as it was."""
        now_at = hop.envelope
        number = get(now_at, "hop") + 1
        if number > get(now_at, "max_hops", 10):
            path = " -> ".join(f"{turn['agent']}@{turn['version']}" for turn in get(hop.snapshot, "path", []))
            raise Park("HOP_LIMIT", f"hop {number} to {to} exceeds max_hops {get(now_at, 'max_hops', 10)}: {path}")
        version, protocol = self.version_for(to, hop, kind or get(now_at, "kind"))
        after = dict(now_at)
        after.pop("payload_encoding", None)
        after.update({
            "protocol": to_json(protocol),
            "id": to_json(uuid7()),
            "previous": now_at["id"],
            "from": to_json(f"{self.agent}@{self.version}"),
            "to": to_json(to),
            "to_version": to_json(version),
            "hop": to_json(number),
            "payload": payload,
        })
        if kind is not None:
            after["kind"] = to_json(kind)
        itinerary = elements(now_at.get("itinerary", "[]"))
        if itinerary and json.loads(itinerary[0]) == to:
            after["itinerary"] = "[" + ",".join(itinerary[1:]) + "]" if itinerary[1:] else None
        if get(now_at, "constraints") is not None:
            stated, found = get(now_at, "constraints_hash"), constraints_hash(after["constraints"])
            if stated is not None and stated != found:
                raise Park("MUST_CARRY", f"the constraints have the hash {found}, the envelope states {stated}")
        return after, version

    def came_to(self, parent, end):
        """What a child came to: its last record has that. One that is archived is not looked for here."""
        head = self.ledger.at(end["seq"])
        if head is None or get(head.snapshot, "parent") != parent:
            raise Fail("CHILD_FAILED", f"the last record of child {end['index']} is gone")
        told = {name: to_json(end[name]) for name in ("index", "state", "code") if name in end}
        return to_object({**told, "result": head.snapshot.get("result")})

    # -- one delivery (section 12)

    def deliver(self, message):
        """What a ticket is worth, and the hop if it is to be done."""
        intent = message.headers.get("Baton-Intent", "")
        expected = int(message.headers.get("Baton-Ledger-Sequence", "0"))
        envelope_id = get(members(members(message.body.decode())["envelope"]), "id")
        deliveries = delivery_count(message.reply)
        nak = lambda seconds: self.nats.publish(message.reply, f'-NAK {{"delay": {max(int(seconds * 1e9), 1)}}}')
        while True:
            head = self.ledger.head(intent)
            if head is None:  # Whoever wrote the ticket wrote the record before: it was archived (section 17).
                return self.nats.publish(message.reply, b"+ACK")
            if head.seq < expected:
                if deliveries <= 10:
                    return nak(1)  # A replica lags.
                self.settle(head)  # A power cut took the record and left the ticket.
                return self.nats.publish(message.reply, b"+ACK")
            if head.status() not in KNOWN:
                return nak(5)
            if not head.has_ticket() or get(head.snapshot, "envelope") != envelope_id:
                self.settle(head)
                return self.nats.publish(message.reply, b"+ACK")
            if now() - head.stored > timedelta(seconds=10) and self.is_archived(intent, head):
                return self.nats.publish(message.reply, b"+ACK")
            source = head
            if get(head.record, "envelope") is None:
                source = self.ledger.at(get(head.snapshot, "envelope_seq"))
            hop = Hop(self, head, members(source.record["envelope"]), message.reply)
            try:
                if hop.deadline is not None and now() >= hop.deadline:
                    return hop.end({"type": "timed_out"}, {"state": "timed_out"}, Hop.raised, {})
                wait = wait_of(head)
                if wait > 0:
                    return nak(wait)
                return self.claim(hop, head, deliveries)
            except Lost:
                continue  # Another record came first: judge again.

    def is_archived(self, intent, head):
        question = {"intent": intent, "submitted_at": get(head.snapshot, "submitted_at")}
        answer = self.nats.request(f"{self.namespace}.control.archive.find", to_json(question), timeout=2.0)
        return answer is not None and (json.loads(answer.body).get("ok") or {}).get("closed") is True

    def claim(self, hop, head, deliveries):
        attempt = hop.attempt + (1 if deliveries > 1 and not head.is_given_back() else 0)
        if attempt > MAX_ATTEMPTS:
            error = {"code": "POISON", "message": f"attempt {MAX_ATTEMPTS} ended without a word from its worker"}
            return self.park(hop, error, may_rebase=False)
        changes = hop.raised(attempt=to_json(attempt), holder=to_json(self.instance))
        claimed = hop.write({"type": "claimed"}, {"state": "accepted"}, changes, {}, may_rebase=False)
        for one in self.ledger.history(hop.intent, 1, claimed.seq):
            if one.event == "step" and get(one.snapshot, "hop") == hop.number:
                step = members(one.record["step"])
                hop.steps[get(step, "name")] = step.get("result", "null")
            if one.event == "resumed" and get(one.snapshot, "hop") == hop.number:
                for result in elements(one.record.get("results", "[]")):
                    result = members(result)
                    hop.calls[get(result, "name")] = get(result, "children", [])
        self.run(hop)

    def park(self, hop, error, may_rebase=True):
        event = {"type": "parked", "code": error["code"]}
        status = {"state": "parked", "code": error["code"]}
        changes = lambda hop: hop.raised(error=to_json(error))
        if not may_rebase:
            hop.write(event, status, changes, {"error": to_json(error)}, may_rebase=False)
            return self.nats.publish(hop.ack, b"+ACK")
        hop.end(event, status, changes, {"error": to_json(error)})

    def run(self, hop):
        self.hop, done = hop, threading.Event()
        keeper = threading.Thread(target=self.keep, args=(hop, done), daemon=True)
        keeper.start()
        try:
            try:
                commit(self, hop, self.outcome_of(hop))
            except Suspended as asked:
                suspend(self, hop, asked)
            except Problem as problem:
                commit_problem(self, hop, problem)
        except Lost:
            self.leave(hop)
        finally:
            done.set()
            self.hop = None

    def outcome_of(self, hop):
        try:
            return self.handle(hop)
        except (Problem, Suspended, Lost, ConnectionError):
            raise
        except Exception as error:
            raise Retry("PANIC", f"{type(error).__name__}: {error}") from error

    def keep(self, hop, done):
        """Keeps the delivery, says that the hop is long, and ends it at its deadline or when this process must stop."""
        started, last, stopped = False, time.monotonic(), None
        while not done.wait(0.05) and not hop.over:
            try:
                if time.monotonic() - last >= 3:
                    self.nats.publish(hop.ack, b"+WPI")
                    last = time.monotonic()
                if not started and time.monotonic() - hop.began > 0.2:
                    started = True
                    holder = to_json(self.instance)
                    hop.write({"type": "started"}, {"state": "in_progress"}, {"holder": holder}, {})
                if hop.deadline is not None and now() >= hop.deadline:
                    hop.end({"type": "timed_out"}, {"state": "timed_out"}, Hop.raised, {})
                if self.stopping.is_set():
                    stopped = stopped or time.monotonic()
                    if time.monotonic() - stopped > 10:
                        self.release(hop)
            except Lost:
                return

    def release(self, hop):
        def changes(hop):
            return hop.raised(given_back=to_json(get(hop.snapshot, "epoch", 0) + 1))
        hop.end({"type": "released"}, {"state": "pending"}, changes, {}, b"-NAK")

    def leave(self, hop):
        """After a loss: acks only a ticket that is superseded, since any other may be somebody else's."""
        head = self.ledger.head(hop.intent)
        if head is None or head.status() not in KNOWN:
            return
        if not head.has_ticket() or get(head.snapshot, "envelope") != get(hop.snapshot, "envelope"):
            self.settle(head)
            self.nats.publish(hop.ack, b"+ACK")

    # -- what this process is told (section 14)

    def hear(self, heard):
        """Answers on the subject of this process: to a share with the one that it keeps to, else with its declaration."""
        while True:
            message = heard.get()
            try:
                said = json.loads(message.body or b"{}")
            except ValueError:
                said = {}
            said = said if isinstance(said, dict) else {}
            if isinstance(said.get("fenced"), list):
                self.stop_if_fenced(said["fenced"])
            elif message.reply:
                answer = self.keep_to(said) if isinstance(said.get("revision"), int) else self.declaration()
                self.nats.publish(message.reply, to_json(answer))

    def stop_if_fenced(self, intents):
        """Stops the hop that runs, if the ledger says that it is this program's no longer: the message alone says nothing."""
        hop = self.hop
        if hop is None or hop.intent not in intents:
            return
        head = self.ledger.head(hop.intent)
        with hop.lock:
            if head is not None and not hop.still_held(head):
                hop.over = True

    def learn_share(self):
        """Where the agent has limits, nothing may run until a controller has told a share."""
        limits = (self.route(self.agent) or {}).get("limits") or {}
        with self.share_lock:
            if self.share["revision"] == 0:
                self.share = {"revision": 0, **{name: 0 for name in LIMITS if limits.get(name) is not None}}

    def keep_to(self, told):
        """Keeps to a share from now on, unless a newer one was told, and says which one that is."""
        with self.share_lock:
            if told["revision"] >= self.share["revision"]:
                if told.get("rate_per_hour") != self.share.get("rate_per_hour"):
                    self.next_start = time.monotonic()
                self.share = told
            return {"share": self.share, "in_use": self.in_use}

    def take_slot(self):
        """Takes the only slot, if the share has room for it."""
        with self.share_lock:
            in_flight, rate = self.share.get("in_flight"), self.share.get("rate_per_hour")
            is_free = in_flight != 0 and (rate is None or rate > 0 and time.monotonic() >= self.next_start)
            self.in_use = 1 if is_free else 0
            return is_free

    def count_start(self):
        """What was not used of the rate counts for a tenth of a second, and no longer."""
        with self.share_lock:
            rate = self.share.get("rate_per_hour")
            if rate:
                self.next_start = max(self.next_start, time.monotonic() - 0.1) + 3600 / rate

    def give_slot(self):
        with self.share_lock:
            self.in_use = 0

    # -- the life of the process

    def pull(self, round_number):
        """A ticket: the most urgent band first, and every eighth time the least urgent one, so that it is not starved."""
        bands = self.bands if round_number % 8 else self.bands[::-1]
        for band in bands:
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.work}.{token_of(self.version)}_{band}"
            message = self.nats.request(subject, '{"batch": 1, "no_wait": true}')
            if message is not None and message.status is None:
                return message
        return None

    def declaration(self):
        return {
            "agent": self.agent,
            "version": self.version,
            "instance": self.instance,
            "protocol": {"oldest": "1.0.0", "newest": "1.2.0"},
            "concurrency": 1,
            "busy": 1 if self.hop else 0,
            "stopping": self.stopping.is_set(),
            "at": time_text(now()),
        }

    def subject(self, name):
        """A subject of this process."""
        return f"{self.namespace}.{name}.{self.agent}.{token_of(self.version)}.{self.instance}"

    def declare(self):
        self.nats.publish(self.subject("heartbeat"), to_json(self.declaration()))

    def beat(self):
        began = time.monotonic()
        while True:
            self.declare()
            self.stopping.wait(0.5 if time.monotonic() - began < 5 else 5)
            if self.stopping.is_set():
                return self.declare()

    def work_until_stopped(self):
        heard = self.nats.listen(self.subject("agent"))
        threading.Thread(target=self.hear, args=(heard,), daemon=True).start()
        beats = threading.Thread(target=self.beat)
        beats.start()
        rounds = 0
        while not self.stopping.is_set():
            if not self.take_slot():
                is_told = self.share["revision"] > 0
                self.stopping.wait(0.05 if is_told else 1)
                if not is_told:
                    self.learn_share()  # The limits may have been lifted before a controller heard of this process.
                continue
            rounds += 1
            message = self.pull(rounds)
            if message is not None:
                self.count_start()
                self.deliver(message)
            self.give_slot()
            if message is None:
                self.stopping.wait(0.05)
        beats.join()
        self.nats.request("$JS.API.INFO", timeout=2.0)  # Answered after all that was sent: nothing is left in a buffer.


def commit(worker, hop, outcome):
    """Writes the outcome of an attempt: one record, after which everything happens and before which nothing has."""
    if isinstance(outcome, Next):
        to = next_of(hop.envelope)
        outcome = Complete(outcome.payload) if to is None else HandOff(to, outcome.payload, outcome.kind)
    if isinstance(outcome, Complete):
        changes = {"result": outcome.result, "result_encoding": None, "error": None}
        return hop.end({"type": "completed"}, {"state": "completed"}, changes, {})
    if isinstance(outcome, Broadcast):
        return broadcast(worker, hop, outcome)
    envelope, version = worker.successor(hop, outcome.to, outcome.payload, outcome.kind)

    def changes(hop):
        after = {name: envelope.get(name) for name in ("hop", "max_hops", "priority", "kind")}
        path = elements(hop.snapshot.get("path", "[]")) + [to_json({"agent": outcome.to, "version": version})]
        return hop.raised(
            **after, agent=to_json(outcome.to), version=to_json(version), envelope=envelope["id"],
            pins=hop.snapshot.get("pins"), attempt="1", envelope_seq=None, error=None, path="[" + ",".join(path) + "]",
        )
    hop.end({"type": "handed_off"}, {"state": "pending"}, changes, {"envelope": to_object(envelope)})


def suspend(worker, hop, asked):
    """Writes that the hop waits for children (section 21). This program leaves it to the leading controller to submit them."""
    children = [to_object({"payload": payload}) for payload in asked.payloads]
    wait_for(worker, hop, asked.name, to_object({"children": listed(children), "to": to_json(asked.to)}), [asked.to])


def broadcast(worker, hop, outcome):
    """Writes that the intent is a message from now on, and who gets it (section 23). It is for agents that have a name."""
    unknown = [agent for agent in outcome.receivers if worker.route(agent) is None]
    if unknown:
        raise Retry("UNKNOWN_RECEIVER", f"nobody has heard of {', '.join(unknown)}, and nobody gets the message")
    children = [to_object({"to": to_json(agent)}) for agent in outcome.receivers]
    sent = {
        "channel": to_json(outcome.channel),
        "named": "true",
        "kind": to_json(outcome.kind) if outcome.kind else None,
        "payload": outcome.payload,
        "from": to_json(f"{worker.agent}@{worker.version}"),
    }
    called, fields = to_object({"children": listed(children)}), {"broadcast": to_object(sent)}
    wait_for(worker, hop, "receivers", called, outcome.receivers, "{}", fields, channel=to_json(outcome.channel))


def wait_for(worker, hop, name, called, agents, onward=None, fields=None, **changed):
    """Writes `fanned_out`: the hop waits for these children, and nobody holds it meanwhile."""
    for agent in dict.fromkeys(agents):
        worker.version_for(agent, hop, None)
    if hop.number + 1 > get(hop.envelope, "max_hops", 10):
        raise Park("HOP_LIMIT", f"a child would be hop {hop.number + 1}, past max_hops")
    wait = {"name": to_json(name), "kind": to_json("children"), "children": called, "onward": onward}
    count = len(elements(members(called)["children"]))

    def changes(hop):
        is_open = to_object({"hop": to_json(hop.number), "name": to_json(name), "kind": to_json("children")})
        own = to_object({"hop": to_json(hop.number), "name": to_json(name), "count": to_json(count)})
        sets = elements(hop.snapshot.get("children", "[]")) + [own]
        return hop.raised(waits=listed([is_open]), children=listed(sets), error=None, **changed)
    fields = {"waits": listed([to_object(wait)]), **(fields or {})}
    hop.end({"type": "fanned_out"}, {"state": "waiting", "reason": "children"}, changes, fields)


def listed(texts):
    """The text of an array of these."""
    return "[" + ",".join(texts) + "]"


def next_of(envelope):
    """Who is next (section 7): the first of the itinerary, else the first that the pipeline names after this agent."""
    meant_for = get(envelope, "stands_in", {}).get("for_agent") or get(envelope, "to")
    itinerary, followers = get(envelope, "itinerary", []), get(envelope, "next", {}).get(meant_for, [])
    return (itinerary or followers or [None])[0]


def commit_problem(worker, hop, problem):
    """Writes a failure: final, declined, set aside, or to be tried again."""
    error = {"code": problem.code, "message": problem.message}
    told = {"error": to_json(error)}
    if isinstance(problem, (Fail, Reject)):
        name = "failed" if isinstance(problem, Fail) else "rejected"
        return hop.end({"type": name, "code": problem.code}, {"state": name, "code": problem.code}, told, told)
    if isinstance(problem, Park) or hop.attempt >= MAX_ATTEMPTS:
        return worker.park(hop, error)
    delay = problem.seconds
    if delay is None:
        delay = min(2 ** hop.attempt, 30) * random.uniform(0.8, 1.2)
    wake_at = to_json(time_text(now() + timedelta(seconds=delay)))

    def changes(hop):
        given_back = to_json(get(hop.snapshot, "epoch", 0) + 1)
        return hop.raised(attempt=to_json(hop.attempt + 1), given_back=given_back, wake_at=wake_at, **told)
    nak = f'-NAK {{"delay": {max(int(delay * 1e9), 1)}}}'.encode()
    hop.end({"type": "retry_scheduled"}, {"state": "pending"}, changes, told, nak)


def delivery_count(reply):
    """How often the broker has delivered this ticket: the third token from the consumer on, seen from the end."""
    tokens = reply.split(".")
    return int(tokens[4] if len(tokens) < 11 else tokens[6])


def wait_of(head):
    """For how many seconds the next attempt is not due, by the server's clock."""
    wake_at = get(head.snapshot, "wake_at")
    if wake_at is None:
        return 0.0
    delay = parse_time(wake_at) - parse_time(get(head.record, "at"))
    return min((head.stored + delay - now()).total_seconds(), delay.total_seconds())


def may_answer(subject, namespace):
    """Whoever settles publishes with its own permissions on a subject that someone else chose."""
    tokens = subject.split(".")
    return not (
        subject.startswith("$")
        or tokens[0] == namespace
        or any(token in ("", "*", ">") for token in tokens)
        or any(character.isspace() or ord(character) < 32 or ord(character) == 127 for character in subject)
    )


def main(agent, version, handle):
    """Runs an agent until SIGTERM or SIGINT. NATS_URL and BATON_NAMESPACE say where."""
    nats = Nats(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
    worker = Worker(nats, os.environ.get("BATON_NAMESPACE", "mesh"), agent, version, handle)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stopping.set())
    print(f"{agent}@{version} works as {worker.instance}", flush=True)
    worker.work_until_stopped()

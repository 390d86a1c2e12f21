"""An agent of Baton in Python, from docs/protocol.md alone: the standard library, and the NATS protocol over a socket.

It is made to be read and copied. Section numbers are those of docs/protocol.md. To use it:

    import agent
    def handle(hop):
        text = hop.step("fetch", lambda key: fetch(hop.payload(), key))
        hop.remember("sources", text, kind="fact", title="What was found")
        return agent.HandOff("review", agent.to_json(text))
    agent.main("research", "1.0.0", handle)

It runs one hop at a time, treats no delivery as fresh (section 12, 2), so it claims every hop, and ends when it loses
its connection: whoever runs it starts it again, and the ledger has lost nothing. It trusts the clock of its machine,
speaks plain `nats://` without TLS, and ends at once in a mesh that is secured or signs its records.

It reads protocol 1.7: gates of people (gates.py), objects (objects.py), what is remembered and views of it (context.py,
with links.py, views.py and assembly.py), budgets and caps (budgets.py, caps.py), children (children.py), and what the
policy says of failures (policy.py). What it leaves to others, or leaves out:

- Children are submitted by the leading controller, as in a secured mesh; what their ends settle is written there, too.
- What a head owes to a wait that has ended (`resumed`), or to a budget that has been topped up (`redriven`), is paid by
  whoever sweeps. The archive is not looked into: neither for the last record of a child nor for an object.
- It counts tokens by a counter of its own, a third of the bytes, and gives its receivers views by `trim` alone. It
  reads no spaces (section 25), and names no undo.
- A hop gets three attempts at most, fewer where the policy says so. What its agent declines ends as rejected: no
  alternative gets it. Where a breaker is open, work for an alternative waits for the version that it is meant for.
- Of what is expected of a result it checks the format and the length, and no `schema`.
- Where no controller says what is left of a cap, the attempt fails and counts.
- It knows no groups of people, so a gate that names one fails with BAD_APPROVAL: nothing begins that should wait.
"""

import base64
import hashlib
import json
import os
import secrets
import signal
import threading
import time
from datetime import timedelta

import budgets
import expects
import gates
import policy
from caps import Cap
from children import came_to, in_place_of_handler
from connection import Nats, stored_message
from context import Context
from objects import PIECE, Objects, body_of, by_reference, is_large
from outcomes import (
    Asked, Broadcast, Complete, Exhausted, Fail, HandOff, Lost, Next, Park, Problem, Reject, Retry, Suspended, Unread,
)
from wire import (
    elements, get, list_of, listed, members, now, object_of, parse_time, time_text, to_json, to_object, token_of, uuid7,
)

PROTOCOL = (1, 7, 0)
TOPOLOGY = 4  # the newest layout of streams that this program knows (section 4)
WRITTEN = ".".join(str(part) for part in PROTOCOL)
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
PAUSED, FOR_GOOD = ("paused", "drained", "quarantined"), "2200-01-01T00:00:00Z"


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


# ---- the ledger (sections 8 to 10) ---------------------------------------------------------------------------------

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


# ---- one hop (section 12) ------------------------------------------------------------------------------------------

class Hop:
    """What a handler works with, and all that this program knows of the hop that it holds."""

    def __init__(self, worker, head, envelope, ack):
        self.worker, self.intent, self.ack = worker, get(head.record, "intent"), ack
        self.snapshot, self.seq, self.envelope = stamped(head), head.seq, envelope
        self.steps, self.calls, self.over, self.lock = {}, {}, False, threading.RLock()
        self.decisions, self.timed_out, self.fan_out, self.ends = {}, set(), None, {}
        self.began, self.ran, self.started = time.monotonic(), False, False
        self.body, self.encoding = None, get(envelope, "payload_encoding")
        self.unread = None  # why the result of a child cannot be had
        self.called_with = None  # the newest link of this hop that its children began with
        self.route = worker.route_fields(worker.agent)
        self.policy = policy.Policy(self.route, envelope)
        self.objects = Objects(worker.nats, worker.namespace, get(envelope, "root") or self.intent)
        self.context = Context(worker, self, self.objects)
        deadline = get(self.snapshot, "deadline")
        self.deadline = parse_time(deadline) if deadline else None

    @property
    def number(self):
        return get(self.snapshot, "hop", 0)

    @property
    def attempt(self):
        return get(self.snapshot, "attempt", 0)

    def payload(self):
        """The text of the payload, as it was written; where `encoding` is `base64`, a string that stands for bytes."""
        return self.envelope.get("payload", "null") if self.body is None else self.body

    def resolve(self):
        """Reads what is an object of the payload and of the steps before the handler runs (section 24)."""
        if get(self.envelope, "payload_ref") is not None:
            self.body, self.encoding = body_of(self.objects, self.envelope["payload_ref"])
        for name, step in self.steps.items():
            if isinstance(step, dict):
                self.steps[name], _ = body_of(self.objects, step["result_ref"])

    def check(self):
        """Raises Lost once the hop is not this program's any more. Long handlers call it now and then."""
        if self.over:
            raise Lost()

    def step(self, name, effect):
        """The result of an effect, as JSON text; run once, recorded, and never run again in a later attempt."""
        if name in self.steps:
            return self.steps[name]
        self.check()
        return self.record(name, effect(self.key(name)))

    def key(self, name):
        """The idempotency key of a step."""
        return f"{self.intent}:{self.number}:{name}"

    def record(self, name, result, fields=None):
        """Records what a step has come to."""
        told = {"result_ref": by_reference(self.objects, result)} if is_large(result) else {"result": result}
        step = to_object({"name": to_json(name), **told})
        self.write({"type": "step"}, {"state": "in_progress"}, {}, {"step": step, **(fields or {})})
        self.steps[name] = result
        return result

    def remember(self, key, text, **more):
        """Remembers a text for the hops after this one: `kind`, `title`, `pinned`, … are those of section 25."""
        self.context.remember(key, text, **more)

    def view(self):
        """What the hops before this one remember, as far as it fits, as a text for a model."""
        return self.context.view()

    def spend(self, name, most, effect):
        """A step that may take so much of the budget, such as `{"tokens": 1200, "cost": "0.02"}`. The effect gets the
        key, and returns its result and what it took, or None for all of that. Where there is not as much: Exhausted."""
        return budgets.spend(self, name, most, effect)

    def hold(self, name, amounts):
        """Writes what a call may take before it is made; the first time in place of the word that it is at work."""
        with self.lock:
            is_at_work = get(object_of(self.snapshot, "status"), "state") == "in_progress"
            hold = {"step": to_json(name), "amounts": amounts, "epoch": self.snapshot["epoch"]}
            event = {"type": "progress" if is_at_work else "started"}
            changes = {} if is_at_work else {"holder": to_json(self.worker.instance)}
            self.write(event, {"state": "in_progress"}, changes, {"hold": to_object(hold)})
            self.started = True

    def call(self, name, to, payloads):
        """What one child for each payload came to, as JSON texts in this order. Nothing is held while they work."""
        if name not in self.calls:
            self.check()
            raise Suspended(name, to, payloads)
        return [to_object(self.result_of(end)) for end in self.calls[name]]

    def result_of(self, end):
        try:
            return came_to(self, end)
        except Unread as problem:  # The intent is parked, whatever the handler makes of that.
            self.unread = problem
            raise

    def take_results(self, results):
        """What its waits came to, as a `resumed` of this hop says it."""
        for result in map(members, results):
            name = get(result, "name")
            if get(result, "kind") == "approval":
                self.decisions[name] = object_of(result, "data")
            if get(result, "kind") == "children":
                self.calls[name] = get(result, "children", [])
            if get(result, "outcome") == "timed_out":
                self.timed_out.add(name)

    def take_waits(self, waits):
        """What the hop has asked for: where it does not come back from it, and what its children began with."""
        for spec in map(members, waits):
            if get(spec, "onward") is not None:
                self.fan_out = spec
            told = object_of(object_of(spec, "children"), "context")
            self.called_with = get(told, "head") or self.called_with

    def last_of_child(self, end):
        """The last record of a child. One that is archived is not looked for here."""
        if end["seq"] not in self.ends:
            head = self.worker.ledger.at(end["seq"])
            is_child = head is not None and get(head.snapshot, "parent") == self.intent
            self.ends[end["seq"]] = head if is_child else None
        return self.ends[end["seq"]]

    def may_refer(self):
        """Whether the result may be an object: that of a child only where its parent takes one."""
        if get(self.envelope, "parent") is None:
            return True
        join = get(self.envelope, "join")
        return isinstance(join, dict) and join.get("result_refs") is True

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
                snapshot, told = budgets.account(snapshot, event["type"], status, fields)
                stands, head = self.worker.write(self.intent, self.seq, event, status, snapshot, told)
                if stands:
                    self.snapshot, self.seq = stamped(head), head.seq
                    return head
                if not may_rebase or not self.still_held(head):
                    self.over = True
                    raise Lost()
                self.snapshot, self.seq = stamped(head), head.seq

    def raised(self, **changes):
        """The changes of an event that takes the hop from its holder."""
        epoch = get(self.snapshot, "epoch", 0) + 1
        return {"epoch": to_json(epoch), "holder": None, "given_back": None, **changes}

    def end(self, event, status, changes, fields, last=b"+ACK"):
        """Commits, settles, then acks: in this order, or a crash would lose the work or do it twice."""
        with self.lock:
            took = to_json(int((time.monotonic() - self.began) * 1000)) if self.ran else None
            told = {"took_ms": took, "context": self.context.read_of_view, **fields}
            head = self.write(event, status, changes, {name: text for name, text in told.items() if text is not None})
            self.over = True
        self.worker.settle(head)
        self.worker.nats.publish(self.ack, last)


def stamped(head):
    """The snapshot of a head, with its sequence where its own record could not say it (section 9)."""
    after, seq = dict(head.snapshot), to_json(head.seq)

    def placed(entries):
        return [one if "seq" in one else {**one, "seq": seq} for one in entries]
    for name in ("waits", "signals", "children"):
        entries = [members(text) for text in list_of(after, name)]
        for one in entries:
            ballot = object_of(one, "ballot")
            seats = [members(text) for text in list_of(ballot, "seats")]
            if any("choice" in seat for seat in seats):
                voted = [seat if "choice" not in seat else placed([seat])[0] for seat in seats]
                one["ballot"] = to_object({**ballot, "seats": listed(map(to_object, voted))})
        if entries:
            after[name] = listed(map(to_object, placed(entries)))
    order = object_of(after, "order")
    if order and "place" not in order and "intake" not in order:
        after["order"] = to_object({**order, "place": seq})
    return after


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

    def __init__(self, nats, namespace, agent, version, handle, view_tokens=None):
        self.nats, self.namespace, self.agent, self.version = nats, namespace, agent, version
        self.view_size = {} if view_tokens is None else {"view_tokens": view_tokens}
        self.cap, self.routes = Cap(self), {}
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
        if int(said.get("baton.topology.least", "0")) > TOPOLOGY:
            needed = said["baton.topology.least"]
            raise ConnectionError(f"the mesh needs topology {needed}; this agent knows {TOPOLOGY}")
        if said.get("baton.secured") == "true" or said.get("baton.signatures") == "require":
            raise ConnectionError("this agent signs nothing, and knows nothing of secured meshes (sections 16 and 18)")
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
        bands, state = BANDS[said.get("baton.bands", "three")], self.own_state()
        for band in bands if state != "retired" else []:
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
                **({"pause_until": FOR_GOOD} if state in PAUSED else {}),
            }
            request = {"stream_name": self.work, "config": consumer}
            self.api(f"CONSUMER.DURABLE.CREATE.{self.work}.{name}", request)
        return bands

    def own_state(self):
        """Where this version stands: its consumers are created paused where a controller pauses them (section 14)."""
        route = self.route(self.agent) or {}
        entry = (route.get("versions") or {}).get(self.version) or {}
        is_paused = route.get("paused") is not None or entry.get("paused") is not None
        state = entry.get("state", "declared")
        return "paused" if is_paused and state != "retired" else state

    def topology(self):
        """The layout of the streams, which a leader may have raised since."""
        said = self.api(f"STREAM.INFO.{self.ledger.stream}")["config"].get("metadata", {})
        return int(said.get("baton.topology", "0"))

    def must_end_waits(self, topology):
        """A hop is suspended only where somebody ends its waits."""
        if self.topology() < topology:
            raise Retry("MESH_TOO_OLD", f"the streams of the mesh have not been raised to topology {topology}")

    # -- the guarded write (section 10)

    def write(self, intent, expected, event, status, snapshot, fields):
        """Whether the record stands, with its head; else the head that came first."""
        record_id = uuid7()
        by = {"role": "worker", "instance": self.instance, "agent": self.agent, "version": self.version}
        body = to_object({
            "protocol": to_json(WRITTEN),
            "id": to_json(record_id),
            "intent": to_json(intent),
            "event": to_json(event),
            "at": snapshot["updated_at"],
            "by": to_json(by),
            "snapshot": to_object(snapshot),
            **fields,
        })
        if len(body.encode()) + 1_024 > self.nats.max_payload:
            kind = Retry if event["type"] == "step" else Park
            raise kind("PAYLOAD_TOO_LARGE", f"the record of {event['type']} is larger than the server takes")
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
        by_hand = get(object_of(head.snapshot, "manual"), "envelope")
        if status in TICKET and by_hand is not None and by_hand == get(head.snapshot, "envelope"):
            return  # A person or a script does the hop (section 12).
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
        if self.is_withheld(get(envelope, "to"), get(head.snapshot, "version")):
            return  # The leader writes it once the breaker closes (section 13).
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
        headers = {"Baton-Intent": get(head.record, "intent"), "Baton-Status": status}
        encoding = get(head.snapshot, "result_encoding")
        reference = get(head.snapshot, "result_ref")
        if reference is not None and reference["bytes"] > PIECE:
            body, encoding, headers["Baton-Ref"] = head.snapshot["result_ref"], None, "1"
        elif reference is not None:
            tree = get(head.snapshot, "root") or get(head.record, "intent")
            body, encoding = body_of(Objects(self.nats, self.namespace, tree), head.snapshot["result_ref"])
        if encoding == "base64":
            body = base64.b64decode(json.loads(body))
        self.nats.publish(subject, body, headers)

    # -- routes and the successor (sections 7 and 14)

    def route(self, agent):
        bucket = f"{self.namespace.upper()}_ROUTES"
        found = stored_message(self.nats, f"KV_{bucket}", {"last_by_subj": f"$KV.{bucket}.{agent}"})
        data = base64.b64decode(found.get("data", "")) if found else b""
        if data:  # A removal is no decision: the last route that is known stands.
            self.routes[agent] = data.decode()
        return json.loads(self.routes[agent]) if agent in self.routes else None

    def route_fields(self, agent):
        """The route as it is written: each member as its text."""
        return members(self.routes[agent]) if self.route(agent) is not None else {}

    def is_withheld(self, agent, version):
        entry = ((self.route(agent) or {}).get("versions") or {}).get(version) or {}
        return entry.get("withheld") is not None

    def version_for(self, agent, hop, kind):
        """The version that takes a handoff, the newest protocol that both sides know, and what the route says of it."""
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
        protocol = self.protocol_for(agent, version, versions)
        self.must_keep(agent, version, hop, route, tuple(int(part) for part in protocol.split(".")))
        return version, protocol, versions.get(version) or {}

    def must_keep(self, agent, version, hop, route, protocol):
        """Who reads less than what is asked of it would not do it, and nobody would notice (sections 20 and 26)."""
        needs = [
            ((1, 4, 0), "a gate of the intent", agent in get(hop.envelope, "gates", {})),
            ((1, 6, 0), "a gate of its route", (route.get("policy") or {}).get("gate") is not None),
            ((1, 7, 0), "a budget", get(hop.snapshot, "budget") is not None),
        ]
        for needed, what, is_there in needs:
            if is_there and protocol < needed:
                text = f"the work has {what}, and {agent}@{version} reads {protocol}: it would not keep to that"
                raise Park("NO_COMMON_PROTOCOL", text)

    def must_be_open(self, agent, version, entry):
        """Where the policy says so, work is refused while the breaker of its version is open (section 13)."""
        withheld = entry.get("withheld") or {}
        until, policy = withheld.get("until"), self.route(agent).get("policy") or {}
        if policy.get("on_open") == "refuse" and until is not None and now() < parse_time(until):
            raise Retry("BREAKER_OPEN", f"the breaker of {agent}@{version} is open until {until}")

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
            ranges = f"{agent}@{version} reads {said['oldest']} and newer, this agent writes 1.0.0 to {WRITTEN}"
            raise Park("NO_COMMON_PROTOCOL", ranges)
        return ".".join(str(part) for part in min(PROTOCOL, newest))

    def successor(self, hop, to, payload, kind, history=None):
        """The envelope of the next hop: what the handler said, and everything else as it was."""
        now_at = hop.envelope
        number = get(now_at, "hop") + 1
        if number > get(now_at, "max_hops", 10):
            path = " -> ".join(f"{turn['agent']}@{turn['version']}" for turn in get(hop.snapshot, "path", []))
            raise Park("HOP_LIMIT", f"hop {number} to {to} exceeds max_hops {get(now_at, 'max_hops', 10)}: {path}")
        version, protocol, entry = self.version_for(to, hop, kind or get(now_at, "kind"))
        self.must_be_open(to, version, entry)
        after = dict(now_at)
        for name in ("payload_encoding", "payload_ref", "not_before", "stands_in"):
            after.pop(name, None)
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
        if is_large(payload) and protocol >= "1.7.0":
            after.update({"payload": None, "payload_ref": by_reference(hop.objects, payload)})
        if kind is not None:
            after["kind"] = to_json(kind)
        if history is not None:
            after["history"] = listed([*list_of(after, "history"), history])
        itinerary = elements(now_at.get("itinerary", "[]"))
        if itinerary and json.loads(itinerary[0]) == to:
            after["itinerary"] = "[" + ",".join(itinerary[1:]) + "]" if itinerary[1:] else None
        if get(now_at, "constraints") is not None:
            stated, found = get(now_at, "constraints_hash"), constraints_hash(after["constraints"])
            if stated is not None and stated != found:
                raise Park("MUST_CARRY", f"the constraints have the hash {found}, the envelope states {stated}")
        hop.context.hand_on(after, entry.get("context") or {})
        return after, version, entry

    # -- one delivery (section 12)

    def deliver(self, message):
        """What a ticket is worth, and the hop if it is to be done."""
        intent = message.headers.get("Baton-Intent", "")
        expected = int(message.headers.get("Baton-Ledger-Sequence", "0"))
        envelope_id = get(members(members(message.body.decode())["envelope"]), "id")
        deliveries = delivery_count(message.reply)
        nak = lambda seconds: self.nats.publish(message.reply, f'-NAK {{"delay": {max(int(seconds * 1e9), 1)}}}')
        ack = lambda: self.nats.publish(message.reply, b"+ACK")
        while True:
            head = self.ledger.head(intent)
            if head is None:  # Whoever wrote the ticket wrote the record before: it was archived (section 17).
                return ack()
            is_of_ticket = get(head.snapshot, "envelope") == envelope_id
            if get(head.snapshot, "agent") != self.agent and is_of_ticket:
                return ack()  # Somebody put it into this stream.
            if head.seq < expected:
                if deliveries <= 10:
                    return nak(1)  # A replica lags.
                self.settle(head)  # A power cut took the record and left the ticket.
                return ack()
            if head.status() not in KNOWN:
                return nak(5)
            if not head.has_ticket() or get(head.snapshot, "envelope") != envelope_id:
                self.settle(head)
                return ack()
            if now() - head.stored > timedelta(seconds=10) and self.is_archived(intent, head):
                return ack()
            source = head
            if get(head.record, "envelope") is None:
                source = self.ledger.at(get(head.snapshot, "envelope_seq"))
            is_lost = source is None or get(source.record, "envelope") is None
            if is_lost and deliveries <= 10:
                return nak(1)  # A replica lags.
            hop = Hop(self, head, {} if is_lost else members(source.record["envelope"]), message.reply)
            try:
                if is_lost:
                    error = {"code": "NO_ENVELOPE", "message": "the ledger has lost the envelope of the hop"}
                    return self.park(hop, error, may_rebase=False)
                if get(object_of(head.snapshot, "undo"), "error") is not None:
                    return self.undo_again(hop)
                if hop.deadline is not None and now() >= hop.deadline:
                    return hop.end({"type": "timed_out"}, {"state": "timed_out"}, Hop.raised, {})
                wait = wait_of(head)
                if wait > 0:
                    return ack() if self.is_long(wait) else nak(wait)
                return self.claim(hop, head, deliveries)
            except Lost:
                continue  # Another record came first: judge again.

    def is_long(self, delay):
        """Whether the leader writes the ticket again when the attempt is due (section 13)."""
        return delay > 30 and self.topology() >= 3

    def undo_again(self, hop):
        """What the intent did is being undone, and a program of 1.5 has put it before this agent (section 22)."""
        error = object_of(hop.snapshot, "undo")["error"]
        changes = hop.raised(error=error, waits=None)
        hop.write({"type": "compensating"}, {"state": "compensating"}, changes, {"error": error}, may_rebase=False)
        self.nats.publish(hop.ack, b"+ACK")

    def is_archived(self, intent, head):
        question = {"intent": intent, "submitted_at": get(head.snapshot, "submitted_at")}
        answer = self.nats.request(f"{self.namespace}.control.archive.find", to_json(question), timeout=2.0)
        return answer is not None and (json.loads(answer.body).get("ok") or {}).get("closed") is True

    def claim(self, hop, head, deliveries):
        attempt = hop.attempt + (1 if deliveries > 1 and not head.is_given_back() else 0)
        error = {"code": "POISON", "message": f"attempt {attempt - 1} ended without a word from its worker"}
        if attempt > 1 and hop.policy.is_used_up(attempt - 1):
            return give_up(self, hop, error)
        if attempt > MAX_ATTEMPTS:
            return give_up(self, hop, error)
        changes = hop.raised(attempt=to_json(attempt), holder=to_json(self.instance))
        claimed = hop.write({"type": "claimed"}, {"state": "accepted"}, changes, {}, may_rebase=False)
        for one in self.ledger.history(hop.intent, 1, claimed.seq):
            if one.event == "step" and get(one.snapshot, "hop") == hop.number:
                step = members(one.record["step"])
                is_object = get(step, "result_ref") is not None
                hop.steps[get(step, "name")] = step if is_object else step.get("result", "null")
            elif get(one.snapshot, "hop") == hop.number:
                hop.take_results(list_of(one.record, "results"))
                hop.take_waits(list_of(one.record, "waits"))
        self.run(hop)

    def park(self, hop, error, may_rebase=True, need=None, is_used_up=False):
        event = {"type": "parked", "code": error["code"]}
        status = {"state": "parked", "code": error["code"]}
        told = {"error": to_json(error), "exhausted": "true" if is_used_up else None}

        def changes(hop):
            if need is None:
                return hop.raised(error=told["error"])
            return hop.raised(error=told["error"], budget=budgets.needing(hop.snapshot["budget"], need))
        if not may_rebase:
            hop.write(event, status, changes, told, may_rebase=False)
            return self.nats.publish(hop.ack, b"+ACK")
        hop.end(event, status, changes, told)

    def run(self, hop):
        self.hop, hop.ran, done = hop, True, threading.Event()
        keeper = threading.Thread(target=self.keep, args=(hop, done), daemon=True)
        keeper.start()
        try:
            try:
                self.attempt(hop)
            except Problem as problem:
                commit_problem(self, hop, problem)
        except Lost:
            self.leave(hop)
        finally:
            done.set()
            self.hop = None

    def attempt(self, hop):
        """Runs the handler, and writes what it says."""
        try:
            outcome = self.outcome_of(hop)
        except Suspended as asked:
            return suspend(self, hop, asked)
        except Asked as asked:
            return gates.wait(self, hop, asked.name, asked.approval)
        if outcome is not None:
            commit(self, hop, outcome)

    def outcome_of(self, hop):
        try:
            hop.resolve()
            if hop.fan_out is not None:
                return in_place_of_handler(hop)
            gates.let_through(self, hop)
            outcome = self.handle(hop)
            if hop.unread is not None:
                raise hop.unread
            return outcome
        except (Problem, Suspended, Asked, Lost, ConnectionError):
            raise
        except Exception as error:
            raise Retry("PANIC", f"{type(error).__name__}: {error}") from error

    def keep(self, hop, done):
        """Keeps the delivery, says that the hop is long, and ends it at its deadline or when this process must stop."""
        last, stopped = time.monotonic(), None
        while not done.wait(0.05) and not hop.over:
            try:
                if time.monotonic() - last >= 3:
                    self.nats.publish(hop.ack, b"+WPI")
                    last = time.monotonic()
                if not hop.started and time.monotonic() - hop.began > 0.2:
                    self.say_started(hop)
                if hop.deadline is not None and now() >= hop.deadline:
                    hop.end({"type": "timed_out"}, {"state": "timed_out"}, Hop.raised, {})
                timeout = hop.policy.timeout
                if timeout is not None and time.monotonic() - hop.began > timeout / 1_000:
                    text = f"the attempt ran for longer than {timeout} ms"
                    return commit_problem(self, hop, Retry("ATTEMPT_TIMED_OUT", text))
                if self.stopping.is_set():
                    stopped = stopped or time.monotonic()
                    if time.monotonic() - stopped > 10:
                        self.release(hop)
            except Lost:
                return

    def say_started(self, hop):
        with hop.lock:
            if not hop.started:
                hop.started = True
                holder = to_json(self.instance)
                hop.write({"type": "started"}, {"state": "in_progress"}, {"holder": holder}, {})

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
        """Answers on the subject of this process: to a share with the one that it keeps to, else its declaration."""
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
        """Stops the hop that runs, if the ledger says that it is this program's no longer: nobody else is believed."""
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
        """A ticket: the most urgent band first, every eighth time the least urgent one, so that it is not starved."""
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
            "protocol": {"oldest": "1.0.0", "newest": "1.7.0"},
            "concurrency": 1,
            "busy": 1 if self.hop else 0,
            "stopping": self.stopping.is_set(),
            "at": time_text(now()),
            **({"context": self.view_size} if self.view_size else {}),
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
            if not self.cap.has_room():
                self.stopping.wait(0.2)
                continue
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
        note, history = outcome.note, outcome.history
        outcome = Complete(outcome.payload) if to is None else HandOff(to, outcome.payload, outcome.kind, history, note)
    if isinstance(outcome, Complete):
        return complete(hop, outcome.result)
    if isinstance(outcome, Broadcast):
        return broadcast(worker, hop, outcome)
    hand_off(worker, hop, outcome, {"note": to_json(outcome.note) if outcome.note else None})


def hand_off(worker, hop, outcome, fields):
    """Writes the next envelope, and whose turn it is."""
    envelope, version, entry = worker.successor(hop, outcome.to, outcome.payload, outcome.kind, outcome.history)

    def changes(hop):
        after = {name: envelope.get(name) for name in ("hop", "max_hops", "priority", "kind")}
        path = elements(hop.snapshot.get("path", "[]")) + [to_json({"agent": outcome.to, "version": version})]
        return hop.raised(
            **after, agent=to_json(outcome.to), version=to_json(version), envelope=envelope["id"],
            pins=hop.snapshot.get("pins"), attempt="1", envelope_seq=None, error=None, path="[" + ",".join(path) + "]",
            manual=to_object({"envelope": envelope["id"]}) if entry.get("manual") else None,
            waits=None, order=None, channel=None, children=left_open(hop),
        )
    hop.end({"type": "handed_off"}, {"state": "pending"}, changes, {"envelope": to_object(envelope), **fields})


def complete(hop, result):
    """Writes the result. A large one is an object, where whoever waits for it takes one (section 24)."""
    expects.check(hop.envelope, result)
    reference = by_reference(hop.objects, result) if is_large(result) and hop.may_refer() else None
    changes = {
        "result": result if reference is None else None, "result_encoding": None, "result_ref": reference,
        "error": None, "context": hop.context.left(),
    }
    hop.end({"type": "completed"}, {"state": "completed"}, changes, {})


def left_open(hop):
    """The calls that somebody still has to hear of after a handoff: not those that are complete or detached."""
    sets = [members(text) for text in list_of(hop.snapshot, "children")]
    is_complete = lambda one: all(map(budgets.ended(one), range(get(one, "count"))))
    left = [to_object(one) for one in sets if not is_complete(one) and not get(one, "detach", False)]
    return listed(left) if left else None


def suspend(worker, hop, asked):
    """Writes that the hop waits for children (section 21). It leaves it to the leading controller to submit them."""
    children = [to_object({"payload": payload}) for payload in asked.payloads]
    if gates.open_waits(hop):
        return gates.wait_again(hop, [asked.name])
    wait_for(worker, hop, asked.name, {"children": listed(children), "to": to_json(asked.to)}, [asked.to])


def broadcast(worker, hop, outcome):
    """Writes that the intent is a message from now on, and who gets it (section 23): agents that have a name."""
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
    called, fields, left = {"children": listed(children)}, {"broadcast": to_object(sent)}, hop.context.left()
    changed = {"channel": to_json(outcome.channel), "context": left}
    wait_for(worker, hop, "receivers", called, outcome.receivers, "{}", fields, **changed)


def wait_for(worker, hop, name, called, agents, onward=None, fields=None, **changed):
    """Writes `fanned_out`: the hop waits for these children, and nobody holds it meanwhile."""
    for agent in dict.fromkeys(agents):
        worker.version_for(agent, hop, None)
    if hop.number + 1 > get(hop.envelope, "max_hops", 10):
        raise Park("HOP_LIMIT", f"a child would be hop {hop.number + 1}, past max_hops")
    worker.must_end_waits(3 if onward is None else 4)
    called = {**called, "context": changed.get("context") or hop.context.lent(), "result_refs": "true"}
    wait = {"name": to_json(name), "kind": to_json("children"), "children": to_object(called), "onward": onward}
    count = len(elements(called["children"]))

    def changes(hop):
        is_open = to_object({"hop": to_json(hop.number), "name": to_json(name), "kind": to_json("children")})
        own = to_object({"hop": to_json(hop.number), "name": to_json(name), "count": to_json(count)})
        sets = elements(hop.snapshot.get("children", "[]")) + [own]
        return hop.raised(waits=listed([is_open]), children=listed(sets), error=None, **changed)
    fields = {"waits": listed([to_object(wait)]), **(fields or {})}
    hop.end({"type": "fanned_out"}, {"state": "waiting", "reason": "children"}, changes, fields)


def next_of(envelope):
    """Who is next (section 7): the first of the itinerary, else the first that the pipeline names after this agent."""
    meant_for = get(envelope, "stands_in", {}).get("for_agent") or get(envelope, "to")
    itinerary, followers = get(envelope, "itinerary", []), get(envelope, "next", {}).get(meant_for, [])
    return (itinerary or followers or [None])[0]


def commit_problem(worker, hop, problem):
    """Writes a failure: final, declined, set aside, or to be tried again."""
    error = {"code": problem.code, "message": problem.message}
    told = {"error": to_json(error)}
    if isinstance(problem, Exhausted):
        return commit_exhausted(worker, hop, problem, error)
    if isinstance(problem, Fail) and hop.policy.on_exhausted == "compensate" and policy.may_undo(hop):
        return undo(hop, told)
    if isinstance(problem, Retry) and hop.policy.is_used_up(hop.attempt):
        return give_up(worker, hop, error)
    if isinstance(problem, (Fail, Reject)):
        name = "failed" if isinstance(problem, Fail) else "rejected"
        return hop.end({"type": name, "code": problem.code}, {"state": name, "code": problem.code}, told, told)
    if isinstance(problem, Park) or hop.attempt >= MAX_ATTEMPTS:
        return worker.park(hop, error) if isinstance(problem, Park) else give_up(worker, hop, error)
    delay = problem.seconds
    if delay is None:
        delay = hop.policy.delay(hop.attempt)
    wake_at = to_json(time_text(now() + timedelta(seconds=delay)))

    def changes(hop):
        given_back = to_json(get(hop.snapshot, "epoch", 0) + 1)
        return hop.raised(attempt=to_json(hop.attempt + 1), given_back=given_back, wake_at=wake_at, **told)
    last = b"+ACK" if worker.is_long(delay) else f'-NAK {{"delay": {max(int(delay * 1e9), 1)}}}'.encode()
    hop.end({"type": "retry_scheduled"}, {"state": "pending"}, changes, told, last)


def undo(hop, told):
    """Writes that what the intent did is undone; the leading controller does it (section 22)."""
    changes = lambda hop: policy.undone(hop, told["error"])
    hop.end({"type": "compensating"}, {"state": "compensating"}, changes, told)


def give_up(worker, hop, error):
    """Ends a hop whose attempts are used up, as the policy says."""
    on_exhausted, is_blamed = hop.policy.on_exhausted, error["code"] not in policy.NOT_ITS_FAULT
    told = {"error": to_json(error), "exhausted": "true" if is_blamed else None}
    if on_exhausted == "compensate" and policy.may_undo(hop):
        return undo(hop, told)
    if on_exhausted in ("fail", "compensate"):
        event, status = {"type": "failed", "code": error["code"]}, {"state": "failed", "code": error["code"]}
        return hop.end(event, status, {"error": told["error"]}, told)
    if on_exhausted.startswith("escalate:") and hop.encoding is None:
        try:
            return hand_off(worker, hop, policy.escalated(hop, on_exhausted.partition(":")[2], error), told)
        except Problem as problem:  # What cannot be escalated is parked, and what would pass `max_hops` says so.
            if problem.code == "HOP_LIMIT":
                error = {"code": problem.code, "message": problem.message}
    if on_exhausted == "human" and error["code"] != "POISON":
        error = {"code": "EXHAUSTED", "message": f"{error['code']}: {error['message']}"}
    worker.park(hop, error, is_used_up=is_blamed)


def commit_exhausted(worker, hop, problem, error):
    """Writes that the budget or the cap does not suffice (section 26): what is needed stands in the record."""
    if problem.code == "CAP_REACHED":
        return worker.park(hop, {**error, "need": json.loads(problem.need)})
    if get(object_of(hop.snapshot, "budget"), "on_exhausted") == "fail":
        told = {"error": to_json(error)}
        return hop.end({"type": "failed", "code": "BUDGET"}, {"state": "failed", "code": "BUDGET"}, told, told)
    worker.park(hop, error, need=problem.need)


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


def main(agent, version, handle, view_tokens=None):
    """Runs an agent until SIGTERM or SIGINT. NATS_URL and BATON_NAMESPACE say where; `view_tokens` cuts its views."""
    nats = Nats(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
    worker = Worker(nats, os.environ.get("BATON_NAMESPACE", "mesh"), agent, version, handle, view_tokens)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stopping.set())
    print(f"{agent}@{version} works as {worker.instance}", flush=True)
    worker.work_until_stopped()

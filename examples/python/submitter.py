"""A submitter of Baton in Python, from docs/protocol.md alone: the standard library, and what agent.py has of NATS.

Section numbers are those of docs/protocol.md. There are three ways to submit; each returns the intent's id once the
server has acknowledged it, and does nothing where it has done so before:

    import submitter
    client = submitter.Submitter(agent.Nats(url), "mesh")
    work = submitter.Work("research", b'{"topic": "otters"}', priority=8)
    intent = client.raw(work)       # a body and headers: a router does the rest
    intent = client.envelope(work)  # a whole envelope: constraints, and fields that no header has
    intent = client.record(work)    # the record and the ticket: needs no router
    status, result = client.ask(client.raw, work, 30)  # submits, and waits for the answer
"""

import base64
import hashlib
import json
import queue
import re
import secrets
import time
from datetime import timedelta

from agent import (
    PROTOCOL, TERMINAL, Head, Ledger, constraints_hash, get, members, now, stored_message, time_text, to_json, to_object,
    token_of, uuid7,
)

# How long to go on without an acknowledgement: an election takes 5 to 10 s.
PATIENCE = 30


class Refused(Exception):
    """It is not submitted, or not as asked."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


class Work:
    """What is submitted. The id is made here, once: every try has the same one (section 11)."""

    def __init__(self, agent, body=b"", intent=None, kind=None, priority=None, deadline=None, max_hops=None,
                 constraints=None, envelope=None, reply_to=None, gate=None, order_key=None):
        self.agent, self.body, self.kind, self.priority = agent, body, kind, priority
        self.deadline, self.max_hops, self.constraints = deadline, max_hops, constraints
        self.gate, self.order_key = gate, order_key  # people are asked before this agent begins; whose turn it is
        # Who reads less than this would begin without asking, or without its turn (section 15).
        self.protocol = "1.5.0" if order_key is not None else "1.4.0" if gate is not None else "1.2.0"
        self.more, self.reply_to = envelope or "{}", reply_to
        self.is_generated, self.intent = intent is None, intent or uuid7()
        self.check()

    def check(self):
        """The tokens of section 2 and the texts of section 5: whoever writes them checks them."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", self.agent):
            raise Refused("BAD_SUBJECT", f"{self.agent!r} is no name of an agent")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", self.intent):
            raise Refused("BAD_HEADER", f"{self.intent!r} is no intent id")
        has_control = lambda text: any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in text)
        kind = self.kind or ""
        if len(kind.encode()) > 256 or has_control(kind):
            raise Refused("BAD_HEADER", "a kind is one line of text, at most 256 bytes")
        key = self.order_key
        if key is not None and (not 0 < len(key.encode()) <= 256 or has_control(key)):
            raise Refused("BAD_HEADER", "an order key is one line of text, 1 to 256 bytes")

    def payload(self):
        """The text of the payload, and its encoding (section 11)."""
        if not self.body:
            return "null", None
        try:
            text = self.body.decode()
        except UnicodeDecodeError:
            return to_json(base64.b64encode(self.body).decode()), "base64"
        try:
            json.loads(text)
        except ValueError:
            return to_json(text), None
        return text.strip(" \t\r\n"), None  # as it was written

    def first_envelope(self, **more):
        """The members of the first envelope, each as its text (section 7)."""
        payload, encoding = self.payload()
        quoted = lambda value: None if value is None else to_json(value)
        found = {
            "protocol": to_json(self.protocol),
            "id": to_json(uuid7()),
            "intent": to_json(self.intent),
            "to": to_json(self.agent),
            "hop": "1",
            "kind": quoted(self.kind),
            "priority": quoted(self.priority),
            "deadline": quoted(self.deadline),
            "max_hops": quoted(self.max_hops),
            "payload": payload,
            "payload_encoding": quoted(encoding),
            "reply_to": quoted(self.reply_to),
            "gates": quoted({self.gate: {}}) if self.gate is not None else None,
            "order_key": quoted(self.order_key),
            "constraints": self.constraints,
            "constraints_hash": quoted(constraints_hash(self.constraints)) if self.constraints else None,
            **more,
            **members(self.more),
        }
        return {name: text for name, text in found.items() if text is not None}


class Submitter:
    def __init__(self, nats, namespace):
        self.nats, self.namespace = nats, namespace
        self.ledger, self.instance = Ledger(nats, namespace), f"py-{secrets.token_hex(6)}"

    def until_acknowledged(self, subject, body, headers):
        """Publishes the same message until the server has acknowledged it; the sequence at which it stands."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            answer = self.nats.request(subject, body, headers, timeout=2.0)
            if answer is not None:
                said = json.loads(answer.body)
                if "error" in said:
                    raise Refused("FULL", f"{subject}: {said['error'].get('description')}")
                return said["seq"]
            time.sleep(0.1)  # Unknown: it may be stored.
        raise Refused("NO_ANSWER", f"nothing acknowledged {subject} within {PATIENCE} s")

    # -- as a raw intent

    def raw(self, work):
        headers = {
            "Baton-Intent": work.intent,
            "Baton-Kind": work.kind,
            "Baton-Priority": work.priority,
            "Baton-Deadline": work.deadline,
            "Baton-Max-Hops": work.max_hops,
            "Baton-Reply-To": work.reply_to,
            "Baton-Order-Key": work.order_key,
        }
        headers = {name: value for name, value in headers.items() if value is not None}
        self.until_acknowledged(f"{self.namespace}.intent.{work.agent}", work.body, headers)
        return work.intent

    def envelope(self, work):
        body, headers = to_object(work.first_envelope()), {"Baton-Protocol": work.protocol}
        self.until_acknowledged(f"{self.namespace}.intent.{work.agent}", body, headers)
        return work.intent

    # -- with a record

    def record(self, work):
        version = self.version(work)
        envelope = work.first_envelope(to_version=to_json(version))
        at = to_json(time_text(now()))
        status, order = {"state": "pending"}, None
        if work.order_key is not None:  # It waits for its turn, without a ticket: a controller gives it.
            status, order = {"state": "waiting", "reason": "order"}, {"hop": 1, "key": work.order_key}
        snapshot = {
            "status": to_json(status),
            "agent": to_json(work.agent),
            "version": to_json(version),
            "hop": "1",
            "attempt": "1",
            "epoch": "1",
            "envelope": envelope["id"],
            "submitted_at": at,
            "updated_at": at,
            "path": to_json([{"agent": work.agent, "version": version}]),
        }
        if order is not None:
            snapshot["order"] = to_json(order)
        for name in ("priority", "kind", "deadline", "max_hops", "reply_to", "root", "parent", "pins"):
            if name in envelope:
                snapshot[name] = envelope[name]
        record_id = uuid7()
        body = to_object({
            "protocol": to_json(work.protocol),
            "id": to_json(record_id),
            "intent": to_json(work.intent),
            "event": to_json({"type": "submitted"}),
            "at": at,
            "by": to_json({"role": "client", "instance": self.instance}),
            "snapshot": to_object(snapshot),
            "envelope": to_object(envelope),
            "generated_id": "true" if work.is_generated else None,
        })
        headers = {
            "Nats-Expected-Last-Subject-Sequence": "0",
            "Baton-Event": "submitted",
            "Baton-Status": status["state"],
        }
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            answer = self.nats.request(self.ledger.subject(work.intent), body, headers, timeout=2.0)
            if answer is not None:
                said = json.loads(answer.body)
                if "error" not in said:
                    return self.settle(Head(said["seq"], body, now()))
                if said["error"].get("err_code") not in (10071, 10164):
                    raise Refused("FULL", f"the ledger: {said['error'].get('description')}")
            first = self.first(work.intent)
            if first is not None and get(first.record, "id") == record_id:
                return self.settle(first)  # The server took it and did not say so.
            if first is not None:
                return self.compare(work, first)
            time.sleep(0.05)  # It is not there: once more, with the same id and the same guard.
        raise Refused("NO_ANSWER", "the ledger does not answer")

    def first(self, intent):
        return self.ledger.ask({"seq": 1, "next_by_subj": self.ledger.subject(intent)})

    def check_same(self, work, first):
        """The id is taken: by the same work, or by other work (section 11)."""
        theirs = members(first.record.get("envelope", "{}"))
        payload, encoding = work.payload()
        same = (
            get(theirs, "to") == work.agent
            and get(theirs, "kind") == work.kind
            and get(theirs, "payload_encoding") == encoding
            and json.loads(theirs.get("payload", "null")) == json.loads(payload)
        )
        if not same:
            raise Refused("CONFLICT", f"the intent {work.intent} is taken by other work")

    def compare(self, work, first):
        """For the same work as before, what the head owes is written once more, while the server drops a second ticket."""
        self.check_same(work, first)
        head = self.ledger.head(work.intent)
        if head.seq == first.seq and now() - first.stored < timedelta(seconds=75):
            self.settle(first)
        return work.intent

    def settle(self, head):
        """Writes the ticket, where there is one: the body of the record, byte for byte."""
        if head.status() != "pending":
            return get(head.record, "intent")
        envelope = members(head.record["envelope"])
        token = token_of(get(head.snapshot, "version"))
        subject = f"{self.namespace}.work.{get(envelope, 'to')}.{token}.p{get(envelope, 'priority', 5)}"
        self.until_acknowledged(subject, head.body, {
            "Baton-Intent": get(head.record, "intent"),
            "Baton-Ledger-Sequence": head.seq,
            "Nats-Msg-Id": get(envelope, "id"),
        })
        return get(head.record, "intent")

    def route(self, agent):
        bucket = f"{self.namespace.upper()}_ROUTES"
        found = stored_message(self.nats, f"KV_{bucket}", {"last_by_subj": f"$KV.{bucket}.{agent}"})
        return json.loads(base64.b64decode(found["data"])) if found and found.get("data") else None

    def version(self, work):
        """The version that takes a first hop (section 14). It does not submit work that is pinned."""
        route = self.route(work.agent)
        if route is None:
            raise Refused("UNKNOWN_AGENT", f"the agent {work.agent} has no route")
        if work.gate is not None and self.route(work.gate) is None:
            raise Refused("UNKNOWN_AGENT", f"the gate names {work.gate}, which has no route: nobody would be asked")
        canary, order = route.get("canary"), [route["active"]]
        if canary:
            share = int.from_bytes(hashlib.sha256(work.intent.encode()).digest()[:8], "big") % 100
            order.insert(0 if share < canary["percent"] else 1, canary["version"])
        for version in order:
            entry = (route.get("versions") or {}).get(version) or {}
            oldest, newest = (str((entry.get("protocol") or {}).get(end, "1.0.0")) for end in ("oldest", "newest"))
            if int(oldest.split(".")[0]) > PROTOCOL[0]:
                raise Refused("NO_COMMON_PROTOCOL", f"{work.agent}@{version} reads {oldest} and newer")
            if work.gate == work.agent and [int(part) for part in newest.split(".")] < [1, 4, 0]:
                raise Refused("NO_COMMON_PROTOCOL", f"{work.agent}@{version} reads {newest}, and would ask nobody")
            if not entry.get("kinds") or work.kind is None or work.kind in entry["kinds"]:
                return version
        raise Refused("UNROUTABLE", f"no version of {work.agent} takes the kind {work.kind}")

    # -- the end

    def wait(self, work, seconds):
        """The status in which it ended, and its result or error as text, from the ledger."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            head = self.ledger.head(work.intent)
            if head is not None and head.status() in TERMINAL:
                self.check_same(work, self.first(work.intent))
                return head.status(), head.snapshot.get("result") or head.snapshot.get("error", "null")
            time.sleep(0.05)
        raise Refused("WAIT_TIMED_OUT", f"the intent {work.intent} has not ended in time")

    def ask(self, submit, work, seconds):
        """Submits and waits for the answer. One may get lost, or come twice: the ledger has the last word."""
        number, answers = next(self.nats.numbers), queue.Queue()
        work.reply_to, self.nats.waiting[number] = f"{self.nats.inbox}.{number}", answers
        self.nats.send(f"SUB {work.reply_to} {number}\r\n".encode())
        try:
            submit(work)
            answer = answers.get(timeout=seconds)
        except queue.Empty:
            return self.wait(work, 0.5)
        finally:
            self.nats.send(f"UNSUB {number}\r\n".encode())
            del self.nats.waiting[number]
        return answer.headers.get("Baton-Status"), answer.body.decode("utf-8", "replace")

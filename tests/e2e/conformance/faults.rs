//! The faults of copies of the agent in Python, and the rules that each of them breaks.

/// A fault of a copy of the agent: the rules that must be found broken, a text that is there once, and what stands in its place.
pub(super) const FAULTS: [(&[&str], &str, &str); 65] = [
    (
        &["heartbeat"],
        "\"instance\": self.instance,\n            \"protocol\"",
        "\"instance\": \"other\",\n            \"protocol\"",
    ),
    (
        &["ack-last"],
        "        self.run(hop)\n",
        "        self.nats.publish(hop.ack, b\"+ACK\")\n        self.run(hop)\n",
    ),
    (&["extend"], "self.nats.publish(hop.ack, b\"+WPI\")", "pass"),
    (&["step"], "{self.intent}:{self.number}:{name}", "{self.intent}:{name}"),
    (&["answer"], "or tokens[0] == namespace", ""),
    (
        &["deadline"],
        "hop.deadline is not None and now() >= hop.deadline:\n                    hop.end",
        "False:\n                    hop.end",
    ),
    (
        &["late"],
        "hop.deadline is not None and now() >= hop.deadline:\n                    return hop.end",
        "False:\n                    return hop.end",
    ),
    (&["retry"], "given_back=given_back, wake_at", "wake_at"),
    (
        &["exhausted"],
        "isinstance(problem, Park) or hop.attempt >= MAX_ATTEMPTS",
        "isinstance(problem, Park)",
    ),
    (&["early"], "if wait > 0:", "if False:"),
    (
        &["silence"],
        "1 if deliveries > 1 and not head.is_given_back() else 0",
        "0",
    ),
    (&["poison"], "if attempt > MAX_ATTEMPTS:", "if False:"),
    (&["resume"], "if name in self.steps:", "if False:"),
    (&["long-history"], "if found and found[-1].seq >= through:", "if found:"),
    (
        &["fenced"],
        "if not may_rebase or not self.still_held(head):",
        "if not may_rebase:",
    ),
    (
        &["fenced"],
        "if not head.has_ticket() or get(head.snapshot, \"envelope\") != get(hop.snapshot, \"envelope\"):",
        "if True:",
    ),
    (
        &["added"],
        "if not may_rebase or not self.still_held(head):",
        "if True:",
    ),
    (
        &["superseded"],
        "not head.has_ticket() or get(head.snapshot, \"envelope\") != envelope_id",
        "not head.has_ticket()",
    ),
    // What is run after its end is also run twice, and its claim follows no open status.
    (
        &["twice", "superseded", "records"],
        "if not head.has_ticket() or get(head.snapshot, \"envelope\") != envelope_id:",
        "if False:",
    ),
    (&["unknown-status"], "if head.status() not in KNOWN:", "if False:"),
    (
        &["successor"],
        "\"payload\": payload,",
        "\"payload\": to_json(json.loads(payload)),",
    ),
    (
        &["ticket"],
        "self.nats.request(subject, head.body, headers)",
        "self.nats.request(subject, to_json(json.loads(head.body)), headers)",
    ),
    (
        &["unknown-fields"],
        "after = dict(now_at)\n",
        "after = {name: text for name, text in now_at.items() if \"-\" not in name}\n",
    ),
    (
        &["constraints"],
        "        return text\n    if text[0] == '\"'",
        "        return to_json(json.loads(text))\n    if text[0] == '\"'",
    ),
    (
        &["hop-limit"],
        "if number > get(now_at, \"max_hops\", 10):",
        "if False:",
    ),
    (&["pins"], "if pinned is not None:", "if False:"),
    (
        &["must-carry"],
        "if stated is not None and stated != found:",
        "if False:",
    ),
    (
        &["suspended"],
        "{\"waiting\", \"parked\", \"compensating\"}",
        "{\"parked\", \"compensating\"}",
    ),
    (
        &["undoing"],
        "{\"waiting\", \"parked\", \"compensating\"}",
        "{\"waiting\", \"parked\"}",
    ),
    // What runs while it is undone also writes what may not follow.
    (
        &["undoing", "records"],
        "TICKET = {\"pending\",",
        "TICKET = {\"compensating\", \"pending\",",
    ),
    (
        &["resumed", "paused", "killed"],
        "if one.event == \"step\" and",
        "if one.snapshot[\"envelope\"] == hop.snapshot[\"envelope\"] and one.event == \"step\" and",
    ),
    (
        &["kept"],
        "    after = dict(snapshot)\n",
        "    after = {name: text for name, text in snapshot.items() if name != \"children\"}\n",
    ),
    (
        &["itinerary"],
        "if itinerary and json.loads(itinerary[0]) == to:",
        "if itinerary:",
    ),
    (
        &["next"],
        "(itinerary or followers or [None])[0]",
        "(itinerary or [None])[0]",
    ),
    // It gives what came first first.
    (
        &["call"],
        "for end in self.calls[name]]",
        "for end in sorted(self.calls[name], key=lambda end: end[\"seq\"])]",
    ),
    // It does not find that it was told, and asks once more.
    (&["call"], "if name not in self.calls:", "if True:"),
    // It goes on at once, with nothing.
    (
        &["call"],
        "            raise Suspended(name, to, payloads)\n",
        "            return []\n",
    ),
    (
        &["broadcast"],
        "    if unknown:\n        raise Retry(\"UNKNOWN_RECEIVER\"",
        "    if len(unknown) == len(outcome.receivers):\n        raise Retry(\"UNKNOWN_RECEIVER\"",
    ),
    // It commits what was taken from it, and completes what is parked.
    (
        &["paused", "killed", "records"],
        "if not may_rebase or not self.still_held(head):",
        "if not may_rebase:",
    ),
    // It does not know what to do with the ticket of a paused intent.
    (
        &["paused"],
        "{\"waiting\", \"parked\", \"compensating\"}",
        "{\"waiting\", \"compensating\"}",
    ),
    // It believes whatever it is told.
    (
        &["told"],
        "head is not None and not hop.still_held(head)",
        "head is not None",
    ),
    // It does not listen.
    (&["told"], "self.stop_if_fenced(said[\"fenced\"])", "pass"),
    (&["share"], "in_flight != 0 and (", "("),
    (
        &["older-share"],
        "if told[\"revision\"] >= self.share[\"revision\"]:",
        "if True:",
    ),
    (&["rate"], "time.monotonic() >= self.next_start", "True"),
    // It pauses an intent, which is not its to do.
    (
        &["poison", "commands"],
        "error = {\"code\": \"POISON\"",
        "error = {\"code\": \"PAUSED\"",
    ),
    // Likewise, of what 1.3 to 1.7 added.
    (&["gated-handoff"], "if is_there and protocol < needed:", "if False:"),
    (&["gate", "agent-gate"], "raise Asked(name, approval)", "continue"),
    (
        &["gate", "agent-gate"],
        "if not get(decision, \"accepted\", False):",
        "if False:",
    ),
    (
        &["agent-gate"],
        "if \"agent-gate\" in hop.decisions or \"agent-gate\" in asked:",
        "if False:",
    ),
    (&["hold"], "hop.hold(name, text_of(held))", "pass"),
    (
        &["hold", "assumed", "left"],
        "took = held if took is None else asked(took)",
        "took = held",
    ),
    (
        &["over-budget"],
        "raise Exhausted(\"BUDGET\", message, text_of(amounts))",
        "return",
    ),
    (
        &["over-budget"],
        "if get(object_of(hop.snapshot, \"budget\"), \"on_exhausted\") == \"fail\":",
        "if False:",
    ),
    (&["over-budget"], "**members(text), \"need\": need}", "**members(text)}"),
    (
        &["assumed"],
        "assumed = {} if is_held else budget.assume()",
        "assumed = {}",
    ),
    (
        &["left"],
        "budget.take(\"time\", Decimal(fields[\"took_ms\"]) / 1_000)",
        "pass",
    ),
    (
        &["left"],
        "{**members(fields[\"envelope\"]), \"budget\": budget.shown()}",
        "members(fields[\"envelope\"])",
    ),
    (
        &["remember", "chain", "context-kept"],
        "hop.context.hand_on(after, entry.get(\"context\") or {})",
        "pass",
    ),
    (
        &["remember", "chain"],
        "\"memories\": listed(self.memories) if self.memories else None,",
        "",
    ),
    (
        &["chain"],
        "\"previous\": to_json([name for name, _ in self.previous]) if self.previous else None,",
        "",
    ),
    (
        &["remember"],
        "place = len(self.remembered())",
        "place = len(self.remembered()) + 1",
    ),
    (
        &["view", "pinned-gap"],
        "self.text = again_on(Park, self.look)",
        "self.text = render(self.hop.envelope, [], self.read)",
    ),
    // A fence that is not that of the protocol.
    (&["view"], "max(3, longest + 1)", "max(4, longest + 1)"),
    (&["pinned-gap"], "if slot.ladder[0][0] != \"full\":", "if False:"),
];

"""What the policy says of failures (section 13): an operator's of the agent, and what the intent asks for within it.

This program gives a hop three attempts at most, and fewer where the policy says so. What an agent declines is rejected.
"""

import random

from budgets import ended
from outcomes import HandOff
from wire import get, list_of, members, now, object_of, time_text, to_json, to_object

OWN = ("park", "fail", "compensate")
# Attempts that ended so say nothing against the version: its breaker does not count them.
NOT_ITS_FAULT = {
    "BREAKER_OPEN", "BUDGET", "CAP_REACHED", "CONTEXT_CORRUPT", "CONTEXT_FULL", "CONTEXT_MISSING", "CONTEXT_OVERFLOW",
    "HOP_LIMIT", "MESH_TOO_OLD", "MUST_CARRY", "NONE_CAPABLE", "NO_COMMON_PROTOCOL", "NO_SUBSCRIBERS",
    "PAYLOAD_TOO_LARGE", "UNKNOWN_AGENT", "UNKNOWN_RECEIVER", "UNROUTABLE", "WAIT_EXPIRED",
}


class Policy:
    """The policy of one hop."""

    def __init__(self, route, envelope):
        set_now, wanted = object_of(route, "policy"), object_of(envelope, "policy")
        self.backoff, self.longest = get(set_now, "backoff_ms", 1_000), get(set_now, "longest_ms", 30_000)
        limits = [get(one, "attempts") for one in (set_now, wanted)]
        self.attempts = min((limit for limit in limits if limit is not None), default=None)
        times = [get(one, "attempt_timeout_ms") for one in (set_now, wanted)]
        self.timeout = min((time for time in times if time), default=None)
        self.on_exhausted = get(set_now, "on_exhausted", "park")
        if self.on_exhausted in OWN and get(wanted, "on_exhausted") in OWN:
            self.on_exhausted = get(wanted, "on_exhausted")

    def is_used_up(self, attempt):
        return self.attempts is not None and attempt >= self.attempts

    def delay(self, attempt):
        """For how many seconds the next attempt is put off."""
        return min(self.backoff * 2 ** attempt, self.longest) / 1_000 * random.uniform(0.8, 1.2)


def may_undo(hop):
    """Whether there is anything that may have to be taken back (section 22)."""
    sets = [members(text) for text in list_of(hop.snapshot, "children")]
    is_open = lambda one: not all(map(ended(one), range(get(one, "count")))) and not get(one, "detach", False)
    return get(object_of(hop.snapshot, "undo"), "named", 0) > 0 or any(map(is_open, sets))


def undone(hop, error):
    """The changes of a hop that begins to undo what the intent did, since it has failed for good."""
    undo = to_object({**object_of(hop.snapshot, "undo"), "error": error, "fails": "true"})
    return hop.raised(error=error, waits=None, undo=undo)


def escalated(hop, to, error):
    """The handoff to whom it is escalated, with the same payload, and why."""
    who = {"agent": to_json(hop.worker.agent), "version": to_json(hop.worker.version), "hop": to_json(hop.number)}
    why = to_json(f"gave up: {error['code']}: {error['message']}")
    history = to_object({**who, "at": to_json(time_text(now())), "did": why})
    return HandOff(to, hop.payload(), None, history)

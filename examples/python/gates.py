"""People who are asked before an agent begins (section 20)."""

import json
import re

from outcomes import Asked, Fail, Reject
from wire import get, list_of, listed, members, object_of, to_json, to_object

# The choices for and against, and the form, of each preset that a hop can ask for.
PRESETS = {
    "approval": (["approve"], ["reject"], None),
    "confirmation": (["confirm"], ["cancel"], None),
    "review": (["approve", "revise"], ["reject"], '{"type":"object","properties":{"comment":{"type":"string"}}}'),
    "clarification": (
        ["answer"], [], '{"type":"object","properties":{"answer":{"type":"string"}},"required":["answer"]}',
    ),
    "form": (["submit"], ["decline"], None),
}
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
REASONS = {"approval": "human", "sleep": "time", "callback": "tool", "children": "children"}


def open_waits(hop):
    """What the hop has asked for and waits for still, from before it was parked and put back."""
    waits = [members(text) for text in list_of(hop.snapshot, "waits")]
    return [wait for wait in waits if get(wait, "hop") == hop.number]


def let_through(worker, hop):
    """Asks before the handler begins: first what an operator has set, then what the intent says."""
    for name, approval in gates_of(worker, hop):
        decision = hop.decisions.get(name)
        if decision is None:
            raise Asked(name, approval)
        if not get(decision, "accepted", False):
            raise Reject("NOT_APPROVED", f"{name}: {get(decision, 'choice')}")


def gates_of(worker, hop):
    set_now = object_of(object_of(hop.route, "policy"), "gate")
    asked = [get(wait, "name") for wait in open_waits(hop)]
    # A hop that has begun is not asked any more; what was asked stands.
    has_begun = hop.steps or asked or hop.calls or any(name not in ("gate", "agent-gate") for name in hop.decisions)
    if "agent-gate" in hop.decisions or "agent-gate" in asked:
        yield "agent-gate", set_now
    elif set_now and not has_begun:
        yield "agent-gate", set_now
    gates = object_of(hop.envelope, "gates")
    if get(gates, worker.agent) is not None:
        yield "gate", members(gates[worker.agent])


def wait(worker, hop, name, approval):
    """Writes that the hop waits for people, and fixes who they are."""
    if open_waits(hop):
        return wait_again(hop, [name])
    worker.must_end_waits(3)
    fixed = fix(worker, hop, name, approval)
    after = fixed.get("due_ms")
    spec = {"name": to_json(name), "kind": to_json("approval"), "after_ms": after, "title": fixed.get("title")}

    def changes(hop):
        opened = {"hop": to_json(hop.number), "name": to_json(name), "kind": to_json("approval"), "after_ms": after}
        return hop.raised(waits=listed([to_object({**opened, "ballot": ballot_of(fixed)})]), error=None)
    fields = {"waits": listed([to_object({**spec, "approval": to_object(fixed)})])}
    hop.end({"type": "waiting", "reason": "human"}, {"state": "waiting", "reason": "human"}, changes, fields)


def wait_again(hop, names):
    """Suspends a hop whose waits are open already: they stay as they are, with their time."""
    waits = open_waits(hop)
    if [get(wait, "name") for wait in waits] != names:
        raise Fail("STEP_CHANGED", f"the hop has asked for {[get(wait, 'name') for wait in waits]}, now for {names}")
    reason = REASONS.get(get(waits[0], "kind"), "signal")
    changes = lambda hop: hop.raised(error=None)
    hop.end({"type": "waiting", "reason": reason}, {"state": "waiting", "reason": reason}, changes, {})


def fix(worker, hop, name, approval):
    """The approval with everything written out that must not change while it is open."""
    def must(is_so, problem):
        if not is_so:
            raise Fail("BAD_APPROVAL", f"approval {name}: {problem}")

    preset = get(approval, "preset", "approval")
    must(preset in PRESETS, f"{preset} is no preset that a hop can ask for")
    accepting, refusing, form = PRESETS[preset]
    choices = list_of(approval, "choices") or [
        *(to_json({"name": choice}) for choice in accepting),
        *(to_json({"name": choice, "counts": "against"}) for choice in refusing),
    ]
    names = [get(members(choice), "name") for choice in choices]
    counts = [get(members(choice), "counts", "for") for choice in choices]
    must(len(set(names)) == len(names) <= 16, "there are at most 16 choices, each of another name")
    must(all(NAME.fullmatch(choice) and choice != "delegate" for choice in names), "a choice has no name that can be")
    must("for" in counts and set(counts) <= {"for", "against"}, "no choice accepts anything")
    must(get(approval, "default", "deny") in ["deny", *names], "the default is none of the choices")
    form = approval.get("form", form)
    must(form is not None or preset != "form", "there is no form")
    must(form is None or len(form.encode()) <= 16_384 and not refers(json.loads(form)), "the form cannot be used")
    barred = barred_from(worker, hop, must) if get(approval, "four_eyes", False) else []
    escalate = object_of(approval, "escalate")
    who, later = get(approval, "who", []), get(escalate, "to", [])
    for person in who + later:
        must(not person.startswith("group:"), f"this worker knows no groups, such as {person}")
        must(NAME.fullmatch(person), f"{person} is nobody's name")
    named = bool(who)
    who, later = ([person for person in dict.fromkeys(all) if person not in barred] for all in (who, later))
    quorum = max(get(approval, "quorum", 1), 1)
    must(len(who) >= quorum if named else quorum == 1, f"{len(who)} may decide, and {quorum} must")
    must(len(who) + len(later) <= 64, "more than 64 people are asked")
    return {
        **approval, "who": to_json(who), "quorum": to_json(quorum), "choices": listed(choices), "form": form,
        "escalate": to_object({**escalate, "to": to_json(later)}) if escalate else None,
        "barred": to_json(barred) if barred else None,
    }


def refers(form):
    """Whether a form has what it must not have."""
    if isinstance(form, dict):
        return any(name in ("$ref", "$dynamicRef", "$recursiveRef") or refers(value) for name, value in form.items())
    return isinstance(form, list) and any(refers(value) for value in form)


def barred_from(worker, hop, must):
    """Who submitted the intent or worked on it."""
    people, submitter = set(), None
    for one in worker.ledger.history(hop.intent, 1, hop.seq):
        by = object_of(one.record, "by")
        person = get(by, "instance").split("@")[0].lower()
        if get(by, "role") in ("client", "operator", "worker") and NAME.fullmatch(person):
            people.add(person)
            submitter = submitter or (person if one.event == "submitted" else None)
    must(submitter, "four eyes need to know who submitted the intent")
    return sorted(people)


def ballot_of(fixed):
    """The state of an approval that was just opened."""
    who, escalate = get(fixed, "who"), object_of(fixed, "escalate")
    choices = [{name: text for name, text in members(choice).items() if name != "title"}
               for choice in list_of(fixed, "choices")]
    return to_object({
        "seats": to_json([{"person": person} for person in who]) if who else None,
        "closed": "true" if who else None,
        "quorum": fixed["quorum"],
        "choices": listed([to_object(choice) for choice in choices]),
        "form": "true" if fixed["form"] is not None else None,
        **{name: fixed.get(name) for name in ("four_eyes", "barred", "default", "remind_ms")},
        "escalate_ms": escalate.get("after_ms"),
        "escalate_to": escalate.get("to"),
    })

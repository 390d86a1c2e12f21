"""What an intent may spend (section 26): amounts, and what each record changes in the budget of the snapshot.

Amounts are decimals: nothing here is ever a binary fraction.
"""

import base64
import json
import re
from decimal import Decimal

from outcomes import Exhausted, Fail
from wire import get, list_of, listed, members, object_of, to_json, to_object

METERS = ("tokens", "cost", "time")
NUMBERS = ("allotted", "spent", "held", "lent", "overrun")
HELD = ("pending", "accepted", "in_progress")
ZERO = Decimal(0)


def amount_of(text):
    """An amount of its JSON: a number, or a string of the same text; None where it is none."""
    text = json.loads(text) if text[:1] == '"' else text
    parts = re.fullmatch(r"0*(\d{0,18})(?:\.(\d{0,9}?)0*)?", text) if re.fullmatch(r"\d+(\.\d+)?", text) else None
    return None if parts is None else Decimal(text)


def spelled(amount):
    """Its JSON, without zeros that say nothing."""
    return format(amount.normalize(), "f")


def amounts_of(text):
    """The amounts that a record says."""
    found = {name: amount_of(value) for name, value in members(text).items() if name in METERS}
    return {name: amount for name, amount in found.items() if amount is not None}


def asked(given):
    """Amounts that a handler gives, such as `{"tokens": 1200, "cost": "0.02"}`."""
    found = {name: amount_of(str(value)) for name, value in given.items()}
    for name, amount in found.items():
        if name not in METERS or amount is None:
            raise Fail("BAD_AMOUNT", f"{given[name]!r} is no amount of {name}")
    return found


def text_of(amounts):
    return to_object({name: spelled(amounts[name]) for name in METERS if name in amounts})


def in_words(amounts):
    return " and ".join(f"{spelled(amount)} of {name}" for name, amount in amounts.items()) or "nothing"


class Budget:
    """The budget of a snapshot. A meter that is absent bounds nothing, and nothing is counted of it."""

    def __init__(self, text):
        self.fields, self.meters = members(text), {}
        for name in METERS:
            meter = object_of(self.fields, name)
            numbers = {field: amount_of(meter[field]) for field in NUMBERS if get(meter, field) is not None}
            if numbers.get("allotted") is not None:
                self.meters[name] = {field: numbers.get(field) or ZERO for field in NUMBERS}

    def available(self, name):
        meter = self.meters[name]
        left = meter["allotted"] + meter["overrun"] - meter["spent"] - meter["held"] - meter["lent"]
        return max(left, ZERO)

    def overrun(self, name, amount):
        if amount > 0:
            self.meters[name]["overrun"] += amount
            self.fields["overran"] = "true"

    def must_have(self, what, amounts):
        """Refuses what is more than there is: of a handler that spent more than it had held, everything."""
        left = {name: self.available(name) for name in amounts if name in self.meters}
        if get(self.fields, "overran", False) or any(amounts[name] > left[name] for name in left):
            message = f"{what} needs {in_words(amounts)}, and {in_words(left)} is available"
            raise Exhausted("BUDGET", message, text_of(amounts))

    # -- what happens

    def hold(self, hold):
        amounts = amounts_of(hold["amounts"])
        self.must_have(f"step {hold['step']}", amounts)
        for name in amounts.keys() & self.meters.keys():
            self.meters[name]["held"] += amounts[name]
        self.fields["epoch"] = hold["epoch"]

    def spend(self, spend):
        amounts, held = amounts_of(spend["amounts"]), amounts_of(spend.get("held", "{}"))
        for name in self.meters:
            if name in held:  # A meter that the amounts do not name is spent whole.
                took = amounts.get(name, held[name])
                self.meters[name]["held"] = max(self.meters[name]["held"] - held[name], ZERO)
                self.meters[name]["spent"] += took
                self.overrun(name, took - held[name])
            elif name in amounts:
                self.take(name, amounts[name])

    def take(self, name, amount):
        """Counts what was spent without a hold."""
        if name in self.meters:
            self.overrun(name, amount - self.available(name))
            self.meters[name]["spent"] += amount

    def assume(self):
        """What is held counts as spent: whoever held it may have called, and nobody will say."""
        held = {name: meter["held"] for name, meter in self.meters.items() if meter["held"] > 0}
        for name, amount in held.items():
            self.meters[name]["held"] = ZERO
            self.meters[name]["spent"] += amount
        self.fields.pop("epoch", None)
        return held

    def lend(self, children):
        """An even share of what is left for each of so many children, none of which names what it wants."""
        share = {}
        for name in self.meters:
            keep = amount_of(self.fields["keep"]) if name == "tokens" and get(self.fields, "keep") is not None else None
            left = max(self.available(name) - (keep or ZERO), ZERO)
            # The parent runs, too. Rounded down: tokens to whole ones.
            parts = children + 1 if name == "time" else children
            share[name] = (left / parts).quantize(Decimal(1) if name == "tokens" else Decimal("1e-9"), "ROUND_DOWN")
            self.meters[name]["lent"] += share[name] * children
        return share

    def close(self, lent):
        """What no child has any more that somebody waits for counts as spent."""
        for name, meter in self.meters.items():
            lost = max(meter["lent"] - lent.get(name, ZERO), ZERO)
            meter["lent"] -= lost
            meter["spent"] += lost

    # -- how it is written

    def text(self, without=()):
        fields = dict(self.fields)
        for name, numbers in self.meters.items():
            meter = object_of(fields, name)
            for field in NUMBERS:
                is_there = numbers[field] > 0 and field not in without or field == "allotted"
                meter[field] = spelled(numbers[field]) if is_there else None
            fields[name] = to_object(meter)
        return to_object({name: text for name, text in fields.items() if name not in without})

    def shown(self):
        """What an envelope shows of it."""
        return self.text(without=("held", "lent", "epoch", "need", "overran", "topped"))


def account(snapshot, kind, status, fields):
    """The snapshot and the members of a record of this kind, with everything in it that the budget has to do with."""
    if get(snapshot, "budget") is None:
        return snapshot, fields
    budget, snapshot, fields = Budget(snapshot["budget"]), dict(snapshot), dict(fields)
    if "hold" in fields:
        budget.hold(members(fields["hold"]))
    if "spend" in fields:
        budget.spend(members(fields["spend"]))
    if "took_ms" in fields:
        budget.take("time", Decimal(fields["took_ms"]) / 1_000)
    is_held = status["state"] in HELD and budget.fields.get("epoch") == snapshot.get("epoch")
    assumed = {} if is_held else budget.assume()
    if assumed:
        fields["assumed"] = text_of(assumed)
    sets = [members(text) for text in list_of(snapshot, "children")]
    if kind == "fanned_out":  # The last set is the one that this record adds.
        share = budget.lend(get(sets[-1], "count"))
        if share:
            sets[-1]["shares"] = listed([to_object({"count": sets[-1]["count"], "amounts": text_of(share)})])
            snapshot["children"] = listed([to_object(one) for one in sets])
    is_open = status["state"] in HELD + ("waiting", "parked", "compensating")
    budget.close(lent_to(sets) if is_open else {})
    if status != {"state": "parked", "code": "BUDGET"}:
        budget.fields.pop("need", None)
    snapshot["budget"] = budget.text()
    if "envelope" in fields:
        fields["envelope"] = to_object({**members(fields["envelope"]), "budget": budget.shown()})
    return snapshot, fields


def lent_to(sets):
    """What children have whose ends are not recorded."""
    lent = {}
    for one in sets:
        index, has_ended = 0, ended(one)
        for share in [members(text) for text in list_of(one, "shares")]:
            count = get(share, "count")
            still = sum(not has_ended(child) for child in range(index, index + count))
            for name, amount in amounts_of(share["amounts"]).items():
                lent[name] = lent.get(name, ZERO) + amount * still
            index += count
    return lent


def ended(one):
    """Whose ends a set of children records: a bit for each, the lowest first."""
    text = get(one, "ended", "")
    bits = int.from_bytes(base64.b64decode(text + "=" * (-len(text) % 4)), "little")
    return lambda index: bool(bits >> index & 1)


def needing(text, need):
    """The budget of a snapshot that is parked until there is so much."""
    return to_object({**members(text), "need": need})


def spend(hop, name, most, effect):
    """A step that may take so much: it is held before the call, and what it took is counted with its result."""
    if name in hop.steps:
        return hop.steps[name]
    hop.check()
    held, cap = asked(most), hop.worker.cap
    is_bounded = get(hop.snapshot, "budget") is not None
    if is_bounded:  # What does not fit is not asked for either.
        Budget(hop.snapshot["budget"]).must_have(f"step {to_json(name)}", held)
    grant, told = cap.grant(hop, name, text_of(held)) if cap.is_set() else None, text_of(dict.fromkeys(held, ZERO))
    try:
        if is_bounded:
            hop.hold(name, text_of(held))
        told = None  # From here on nobody knows, until the effect says it.
        result, took = effect(hop.key(name))
        took = held if took is None else asked(took)
        told = text_of(took)
        spent = {"step": to_json(name), "amounts": told, "held": text_of(held)}
        return hop.record(name, result, {"spend": to_object(spent)} if is_bounded else {})
    finally:
        if grant is not None:
            cap.settle(grant, told)

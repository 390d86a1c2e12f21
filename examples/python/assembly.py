"""Which memories a view has, and how much of each: the rules `trim-1` of section 25.

The counter is this program's own: a third of the bytes of a text, which is near the tokens of most models and never far
below. What its author has not counted with it is counted here, from the content.
"""

from outcomes import Park, Retry
from views import fixed_parts, item
from wire import get, hash_of, members, to_json

COUNTER = "utf8-thirds#1"
BUDGET = 4_000
RECENT = 20
MOST_REFS = 256
KINDS = {"constraint": 400, "question": 350, "decision": 300, "fact": 200, "result": 150, "file": 50, "log": 0}
INLINE = 4 * 1024  # bytes of a manifest that stands in the envelope


def count(text):
    return -(-len(text.encode()) // 3)


def counts_of(entry, content):
    """What its author stores with a memory: its tokens at each level, as a view renders it."""
    told = {"full": count(item(entry, "full", content)), "line": count(item(entry, "ref"))}
    if entry.of("summary") is not None:
        told["summary"] = count(item(entry, "summary"))
    return {COUNTER: told}


def budget_of(constraints, view_tokens):
    """The most tokens of a view where the handoff asks for nothing."""
    asked = get(members(constraints), "max_tokens") if constraints and constraints[0] == "{" else None
    is_count = isinstance(asked, int) and not isinstance(asked, bool) and asked >= 0
    told = [number for number in (asked if is_count else None, view_tokens) if number is not None]
    return min(told) if told else BUDGET


class Slot:
    """A candidate, and its place in the view."""

    def __init__(self, entry, rank, of, read):
        self.entry, self.read, self.level, self.tokens = entry, read, "dropped", 0
        self.tier, self.score, self.lost, self.why, self.ladder = 3, 0, None, "strategy", []
        if entry.is_superseded:
            self.why = "superseded"
            return
        kind = entry.of("kind")
        if entry.of("pinned", False):
            self.tier = 0
        elif kind == "question":
            self.tier = 1
        elif rank < RECENT:
            self.tier = 2
        self.score = 2 * entry.of("relevance", 500) + 1_000 - 1_000 * rank // of + KINDS.get(kind, 100)
        self.climb()

    def climb(self):
        """The levels that it can have, the highest first, each shorter than the one before."""
        stored = self.entry.of("tokens", {}).get(COUNTER, {})
        full = stored.get("full")
        if full is None:
            content = self.read(self.entry)
            full = None if content is None else count(item(self.entry, "full", content))
        if full is None:
            self.why = "unresolved"
        summary = None
        if self.entry.of("summary") is not None:
            summary = stored.get("summary", count(item(self.entry, "summary")))
        line = stored.get("line", count(item(self.entry, "ref")))
        for level, tokens in (("full", full), ("summary", summary), ("ref", line)):
            if tokens is not None and (not self.ladder or tokens < self.ladder[-1][1]):
                self.ladder.append((level, tokens))

    def text(self):
        return item(self.entry, self.level, self.read(self.entry) if self.level == "full" else None)

    def recount(self):
        """What it really takes. What cannot be had at the moment takes what is stored for it."""
        if self.level == "full" and self.read(self.entry) is None:
            return
        self.tokens = count(self.text())

    def lower(self, left):
        """The next lower level, as the text as a whole is too long."""
        self.lost, self.why = (self.tokens, left), "count"
        lower = [step for at, step in enumerate(self.ladder) if at and self.ladder[at - 1][0] == self.level]
        self.level, self.tokens = lower[0] if lower else ("dropped", 0)


class Assembled:
    """A view: `trim`, of so many tokens. Of one key the candidates have the newest revision alone."""

    def __init__(self, envelope, candidates, budget, factor, read):
        self.budget, self.factor, self.read = budget, factor, read
        self.room, self.parts = budget * 1_000 // factor, fixed_parts(envelope)
        of = sum(not entry.is_superseded for entry in candidates)
        rank, self.slots = of, []
        for entry in candidates:
            rank -= not entry.is_superseded
            self.slots.append(Slot(entry, rank, of, read))
        self.fixed = sum(count(part) for _, part in self.parts)
        self.open = [slot for slot in self.slots[::-1] if slot.ladder and slot.tier > 0]
        self.open.sort(key=lambda slot: (slot.tier, -slot.score))
        self.pin()
        self.fill()
        self.settle()
        self.inputs = hash_of(inputs(self, candidates))

    def taken(self):
        return self.fixed + sum(slot.tokens for slot in self.slots)

    def pin(self):
        """What must be in it: a pin that can be neither read nor counted is no gap."""
        pins = [slot for slot in self.slots if slot.tier == 0 and slot.ladder]
        for slot in pins:
            if slot.ladder[0][0] != "full":
                raise Retry("CONTEXT_MISSING", f"memory {slot.entry.key} must be in the view, and is not there")
            slot.level, slot.tokens = slot.ladder[0]
        if len(pins) > MOST_REFS or self.taken() > self.room:
            self.overflow(self.taken())

    def overflow(self, needed):
        parts = [f"{name} {count(part)}" for name, part in self.parts]
        parts += [f"memory {slot.entry.key} {slot.tokens}" for slot in self.slots if slot.tier == 0 and slot.tokens]
        raise Park("CONTEXT_OVERFLOW", f"what must be in the view takes {needed} of {self.room}: {', '.join(parts)}")

    def fill(self):
        """Goes down the list once: each takes the highest level that has room, or leaves it to the next."""
        refs = sum(slot.level == "full" for slot in self.slots)
        taken = self.taken()
        for slot in self.open:
            left = max(self.room - taken, 0)
            for level, tokens in slot.ladder:
                if tokens > left:
                    slot.lost, slot.why = (tokens, left), "budget"
                elif level == "full" and refs >= MOST_REFS:
                    slot.why = "refs"
                else:
                    slot.level, slot.tokens = level, tokens
                    break
            refs += slot.level == "full"
            taken += slot.tokens

    def settle(self):
        """Makes the text, and lowers what was taken last as long as it is too long: a stored count may be false."""
        for slot in self.slots:
            if slot.level not in ("full", "dropped"):
                slot.recount()
        is_recounted, left = False, list(self.open)
        while True:
            if self.taken() <= self.room or not left:
                self.text = "".join(part for _, part in self.parts) + "".join(slot.text() for slot in self.slots)
                absent = [slot for slot in self.slots if slot.level == "full" and self.read(slot.entry) is None]
                self.count = count(self.text) + sum(slot.tokens - count(slot.text()) for slot in absent)
                if self.count <= self.room:
                    return
                if not left:
                    self.overflow(self.count)
            if not is_recounted:
                is_recounted = True
                for slot in self.slots:
                    if slot.level == "full":
                        slot.recount()
                continue
            while left and left[-1].level == "dropped":
                left.pop()
            if left:
                left[-1].lower(max(self.room - (self.taken() - left[-1].tokens), 0))
                left[-1].recount()

    # -- what an envelope says of it

    def items(self):
        return [(slot.entry, slot.level) for slot in self.slots]

    def full(self):
        return [slot.entry for slot in self.slots if slot.level == "full"]

    def numbers(self):
        return {"strategy": "trim", "tokenizer": COUNTER, "factor": self.factor, "budget": self.budget,
                "used": -(-self.count * self.factor // 1_000)}

    def manifest(self):
        """What became of every candidate that is not in it in full."""
        items = []
        for slot in self.slots:
            if slot.level == "full":
                continue
            told = {"key": slot.entry.key, "hash": slot.entry.hash, "level": slot.level}
            if not slot.entry.is_superseded:
                told.update({"tier": slot.tier, "score": slot.score})
            told["tokens"] = slot.tokens
            if slot.lost is not None:
                told["needed"], told["left"] = slot.lost
            items.append({**told, "why": slot.why})
        return to_json({"manifest": 1, "assembler": "trim-1", **self.numbers(), "inputs": self.inputs, "items": items})

    def view(self, manifest):
        """The view in numbers; `manifest` is the manifest, or the hash of its object, as text."""
        full = self.full()
        resolved = sum(self.read(entry) is not None for entry in full)
        told = {**self.numbers(), "assembler": "trim-1", "kept": len(full),
                "dropped": sum(slot.level == "dropped" for slot in self.slots)}
        assembled = to_json({"requested": len(full), "resolved": resolved})
        return {**{name: to_json(value) for name, value in told.items()}, "manifest": manifest, "assembled": assembled}


def inputs(made, candidates):
    """All that a view is made of, as bytes: numbers in groups of seven bits, texts behind their lengths."""
    written = bytearray()

    def number(value):
        while value >= 0x80:
            written.append(value & 0x7F | 0x80)
            value >>= 7
        written.append(value)

    def text(value):
        number(len(value.encode()))
        written.extend(value.encode())

    def option(value):
        number(value is not None)
        text(value or "")

    for value in ("trim-1", COUNTER, "trim"):
        text(value)
    for value in (made.budget, made.factor, RECENT, 0, 0, len(made.parts)):  # nothing is named, and no kind is left out
        number(value)
    for name, part in made.parts:
        text(name)
        text(part)
    number(len(candidates))
    for entry in candidates:
        depth, intent, hop, index = entry.place
        number(depth)
        text(intent)
        number(hop)
        number(index)
        text(entry.by)
        number(entry.is_superseded)
        for value in (entry.key, entry.hash, entry.of("kind")):
            text(value)
        for value in (entry.of("title"), entry.of("media"), entry.of("summary")):
            option(value)
        for value in (entry.of("pinned", False), entry.of("relevance", 500), entry.of("bytes")):
            number(int(value))
        counts = entry.of("tokens", {}).get(COUNTER, {})
        for value in (counts.get("full"), counts.get("summary"), counts.get("line")):
            number(value is not None)
            number(value or 0)
    return bytes(written)

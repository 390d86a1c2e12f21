"""What a hop is given of what the hops before it remember, and what it adds (section 25).

A handoff gives its receiver a view by `trim-1`, and writes a link where the hop has anything to say. An intent in which
nobody remembers anything costs no message.
"""

import json
import re

from assembly import INLINE, Assembled, budget_of, counts_of
from links import MOST_PREVIOUS, Chain, Draft, Entry
from outcomes import Fail, Park, Retry, Unread
from views import render
from wire import get, hash_of, list_of, listed, members, now, object_of, time_text, to_json, to_object

MOST_GAPS = 256
MOST_MEMORIES = 1_000
EXTRACT = 240  # bytes of a text that stand for it where it has no summary
STEP = "memory:"


class Context:
    """The context of one hop."""

    def __init__(self, worker, hop, objects):
        self.worker, self.hop, self.objects = worker, hop, objects
        self.by = f"{worker.agent}@{worker.version}"
        self.text, self.read_of_view, self.seen_gaps, self.unread = None, None, {}, {}

    def before(self):
        """What the envelope says. Hops that have only passed it on knew of no context."""
        told = object_of(self.hop.envelope, "context")
        written_for = get(told, "hop")
        if written_for is not None and self.hop.number > written_for:
            told["unlinked"] = to_json(get(told, "unlinked", 0) + self.hop.number - written_for)
            told["hop"] = to_json(self.hop.number)
        return told

    def matters(self):
        """Whether anybody remembers anything."""
        return get(self.hop.envelope, "context") is not None or self.adds()

    def adds(self):
        return bool(self.remembered() or self.joined())

    def read(self, entry):
        """The content of a memory, or None; what cannot be had is kept as a gap."""
        if entry.hash in self.unread:
            return None
        try:
            return self.objects.read(entry.hash, size=entry.of("bytes"))
        except Unread as error:
            told = {"key": entry.key, "hash": entry.hash, "why": error.code}
            self.unread[entry.hash] = told
            return None

    # -- remembering

    def remember(self, key, text, kind="fact", title=None, pinned=False, relevance=None, summary=None, supersedes=None,
                 media=None):
        """Keeps a text for the hops after this one, once in all attempts. The same key later is its next revision."""
        content = text.encode() if isinstance(text, str) else text
        if summary is None:
            summary = extract(content)
        check(key, kind, title, relevance, summary, supersedes)
        name = STEP + key
        if name in self.hop.steps:
            if get(members(members(self.hop.steps[name])["memory"]), "hash") != hash_of(content):
                raise Fail("STEP_CHANGED", f"the hop has remembered something else as {key}")
            return
        self.hop.check()
        place = len(self.remembered())
        if place >= MOST_MEMORIES:
            raise Fail("BAD_MEMORY", f"a hop remembers at most {MOST_MEMORIES} memories")
        self.objects.write_named(content, media or "text/plain")
        told = {
            "key": key, "hash": hash_of(content), "kind": kind, "title": title, "pinned": pinned or None,
            "relevance": relevance, "bytes": len(content), "media": media, "summary": summary, "supersedes": supersedes,
        }
        told = {name: value for name, value in told.items() if value is not None}
        entry = Entry(0, self.hop.intent, self.hop.number, place, self.by, to_json(told))
        told["tokens"] = counts_of(entry, content)
        self.hop.step(name, lambda _: to_json({"place": place, "memory": told}))

    def remembered(self):
        """What the hop has remembered, in its order, each as its text."""
        steps = [members(text) for name, text in self.hop.steps.items() if name.startswith(STEP)]
        return [step["memory"] for step in sorted(steps, key=lambda step: get(step, "place"))]

    # -- looking

    def view(self):
        """The text of the view: the one that the envelope gives, or one that is made here where it gives none."""
        if self.text is None:
            self.text = again_on(Park, self.look)
        return self.text

    def look(self):
        told, envelope = self.before(), self.hop.envelope
        head = get(told, "head")
        if head is None:
            return render(envelope, [], self.read)
        candidates = Chain(self.objects, [head]).candidates()
        manifest = self.manifest_of(told, candidates)
        if manifest is None:  # Of what is made here nothing is recorded.
            size = self.worker.view_size
            budget = budget_of(envelope.get("constraints"), size.get("view_tokens"))
            items = Assembled(envelope, candidates, budget, size.get("factor") or 1_000, self.read).items()
        else:
            items = self.levels(candidates, manifest)
        full = [entry for entry, level in items if level == "full"]
        missing = [entry for entry in full if self.read(entry) is None]
        self.seen_gaps = {entry.hash: self.unread[entry.hash] for entry in missing}
        if manifest is not None and full:
            self.read_of_view = to_json({"requested": len(full), "resolved": len(full) - len(missing)})
        for entry in missing:
            if entry.of("pinned", False):
                raise Retry("CONTEXT_MISSING", f"memory {entry.key} is pinned, and its content cannot be had")
        return render(envelope, items, self.read)

    def given(self, candidates):
        """The references to what is remembered, in their order. Others are a client's."""
        keys = {entry.key for entry in candidates}
        references = [members(text) for text in list_of(self.hop.envelope, "memory")]
        return [reference for reference in references if get(reference, "key") in keys]

    def manifest_of(self, told, candidates):
        """The manifest of the view that the envelope gives; None where it gives none."""
        view = object_of(told, "view")
        # A submitter that knows of no context gives a child the view of its parent, and no references.
        is_inherited = get(self.hop.envelope, "parent") and get(view, "kept") != len(self.given(candidates))
        if "manifest" not in view or is_inherited:
            return None
        text = view["manifest"]
        return members(self.objects.read(json.loads(text)).decode() if text[0] == '"' else text)

    def levels(self, candidates, manifest):
        """How much of each memory the view has: references and manifest together are exactly the candidates."""
        at = {entry.key: place for place, entry in enumerate(candidates)}
        found = {}
        items = [members(text) for text in list_of(manifest, "items")]
        for told, level in [(self.given(candidates), "full"), (items, None)]:
            last = -1
            for one in told:
                place = at.get(get(one, "key"), -1)
                is_right = place > last and place not in found and candidates[place].hash == get(one, "hash")
                if not is_right:
                    raise Unread("CONTEXT_CORRUPT", f"{get(one, 'key')} does not belong to the view, or not there")
                found[place], last = level or get(one, "level"), place
        if len(found) < len(candidates):
            raise Unread("CONTEXT_CORRUPT", "a memory is neither in the view nor in its manifest")
        return [(entry, found[place]) for place, entry in enumerate(candidates)]

    # -- handing on

    def joined(self):
        """`context` of the last record of each child that has completed: what the hop takes over."""
        found = []
        for ends in self.hop.calls.values():
            for end in ends:
                last = self.hop.last_of_child(end) if end["state"] == "completed" else None
                if last is not None and get(last.snapshot, "context") is not None:
                    found.append(members(last.snapshot["context"]))
        return [told for told in found if get(told, "head") is not None]

    def chain(self, told):
        """The chain that the hop goes on from: its own newest link, and those of the children that it takes over."""
        own = self.hop.called_with or get(told, "head")
        heads = dict.fromkeys([own, *(get(child, "head") for child in self.joined())])
        return Chain(self.objects, [head for head in heads if head is not None][:MOST_PREVIOUS])

    def draft(self, chain):
        """The link of this hop, with what none has yet."""
        own = {entry.key for entry in chain.entries if entry.place[1:3] == (self.hop.intent, self.hop.number)}
        memories = [text for text in self.remembered() if get(members(text), "key") not in own]
        told = {
            "intent": self.hop.intent, "hop": self.hop.number, "envelope": get(self.hop.envelope, "id"), "by": self.by,
            "at": time_text(now()),
        }
        return Draft(chain, told, memories)

    def gaps(self, told, candidates, more=()):
        """The gaps that are carried on: those before, of the hop's own view, of its children, and these; but none whose
        content the hop has read, and none of a memory that has a newer revision."""
        before = [json.loads(text) for text in list_of(told, "gaps")]
        before += [*self.seen_gaps.values()]
        before += [json.loads(text) for child in self.joined() for text in list_of(child, "gaps")]
        newest = None if candidates is None else {entry.hash for entry in candidates}
        found = {}
        for gap in [*before, *more]:
            is_read = gap["hash"] in self.objects.known
            if not is_read and (newest is None or gap["hash"] in newest):
                found.setdefault((gap["key"], gap["hash"]), gap)
        if len(found) > MOST_GAPS:
            raise Retry("CONTEXT_MISSING", f"{len(found)} memories cannot be had")
        return to_json(list(found.values())) if found else None

    def grown(self, told, chain, draft, gaps):
        """What is remembered with the hop's own link, which is stored where it says anything."""
        if draft.says():
            told["head"], told["links"] = to_json(draft.store()), to_json(draft.depth)
        elif draft.previous:
            told["head"], told["links"] = to_json(draft.previous[0][0]), to_json(draft.previous[0][1])
        entries = chain.entries + draft.entries()
        told["memories"] = to_json(len(entries))
        told["bytes"] = to_json(sum(entry.of("bytes", 0) for entry in entries))
        told["gaps"], told["hop"] = gaps, to_json(self.hop.number + 1)
        return told

    def hand_on(self, envelope, size):
        """Gives the envelope of the next hop its context, with a view that fits its receiver."""
        if self.matters():
            again_on(Unread, lambda: self.make_view(envelope, size))

    def make_view(self, envelope, size):
        told = self.before()
        chain = self.chain(told)
        draft = self.draft(chain)
        payload = get(envelope, "payload_ref")
        draft.payload = payload["hash"] if payload else None
        candidates = chain.candidates(draft.entries())
        budget = budget_of(envelope.get("constraints"), size.get("view_tokens"))
        made = Assembled(envelope, candidates, budget, size.get("factor") or 1_000, self.read)
        manifest = made.manifest()
        if len(manifest.encode()) > INLINE:
            draft.manifest = self.objects.write_named(manifest.encode(), "application/json")
            manifest = to_json(draft.manifest)
        unread = [self.unread[entry.hash] for entry in candidates if entry.hash in self.unread]
        told = self.grown(told, chain, draft, self.gaps(told, candidates, unread))
        told["view"] = to_object(made.view(manifest))
        envelope["context"] = to_object(told)
        foreign = [text for text in list_of(self.hop.envelope, "memory")
                   if get(members(text), "key") not in {entry.key for entry in candidates}]
        memory = [to_object(reference_of(entry)) for entry in made.full()] + foreign
        envelope["memory"] = listed(memory) if memory else None

    def left(self):
        """`context` of a hop that calls, completes or ends with a message; None where nobody remembers anything."""
        return again_on(Unread, self.link_up) if self.matters() else None

    def link_up(self):
        told = self.before()
        told.pop("view", None)
        if not self.adds():
            told["gaps"], told["hop"] = self.gaps(told, None), to_json(self.hop.number + 1)
            return to_object(told)
        chain = self.chain(told)
        draft = self.draft(chain)
        return to_object(self.grown(told, chain, draft, self.gaps(told, chain.candidates(draft.entries()))))

    def lent(self):
        """`context` of a call: None where the hop has added nothing to what its envelope says."""
        gaps = [get(members(text), "hash") for text in list_of(self.before(), "gaps")]
        is_found_again = any(name in self.objects.known for name in gaps)
        return self.left() if self.adds() or self.seen_gaps or is_found_again else None


def again_on(kind, act):
    """What cannot be had of the context may come back: the attempt fails, and is made again."""
    try:
        return act()
    except kind as problem:
        raise Retry(problem.code, problem.message) from problem


def reference_of(entry):
    return {"key": to_json(entry.key), "revision": entry.fields.get("revision"), "hash": to_json(entry.hash)}


def extract(content):
    """The beginning of a long text, which stands for it where nobody has given a summary."""
    if len(content) <= EXTRACT:
        return None
    try:
        content.decode()
    except UnicodeDecodeError:
        return None
    return content[:EXTRACT].decode("utf-8", "ignore") + "…"


def check(key, kind, title, relevance, summary, supersedes):
    """The bounds of the attributes."""
    def must(is_so, problem):
        if not is_so:
            raise Fail("BAD_MEMORY", f"memory {key!r}: {problem}")

    is_key = lambda text: re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", text) is not None
    must(is_key(key), "the key is none")
    must(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", kind), f"{kind!r} is no kind")
    must(title is None or len(title) <= 200 and title.isprintable(), "a title is one line of at most 200 characters")
    must(relevance is None or 0 <= relevance <= 1_000, "relevance is 0 to 1000")
    must(summary is None or len(summary.encode()) <= 2_048, "a summary has at most 2 KiB")
    must(supersedes is None or is_key(supersedes) and supersedes != key, "it supersedes another memory, by its key")

"""The chain of what the hops of a tree remembered (section 25): links, catalogues, and the newest of each memory.

A memory stays the text that its author wrote: a reader keeps what it does not know of it.
"""

from outcomes import Unread
from wire import get, list_of, listed, members, to_json, to_object

MOST_LINKS = 4_096
MOST_PREVIOUS = 1_024
CATALOGUE_EVERY = 16


class Entry:
    """A memory, and where it was remembered."""

    def __init__(self, depth, intent, hop, index, by, memory):
        self.place = (depth, intent, hop, index)
        self.by, self.memory, self.fields = by, memory, members(memory)
        self.key, self.hash = get(self.fields, "key"), get(self.fields, "hash")
        self.is_superseded = False

    def of(self, name, default=None):
        return get(self.fields, name, default)

    def text(self):
        depth, intent, hop, index = self.place
        told = {"depth": depth, "intent": intent, "hop": hop, "index": index, "by": self.by}
        return to_object({**{name: to_json(value) for name, value in told.items()}, "memory": self.memory})


class Link:
    """One link, by its hash."""

    def __init__(self, name, text):
        fields = members(text)
        self.name, self.tree, self.intent = name, get(fields, "tree"), get(fields, "intent")
        self.form, self.hop, self.depth, self.by = (get(fields, part) for part in ("link", "hop", "depth", "by"))
        self.previous, self.catalogue = get(fields, "previous", []), get(fields, "catalogue")
        self.memories = list_of(fields, "memories")

    def entries(self):
        return entries_of(self.depth, self.intent, self.hop, self.by, self.memories)


def entries_of(depth, intent, hop, by, memories):
    return [Entry(depth, intent, hop, index, by, memory) for index, memory in enumerate(memories)]


class Chain:
    """What these links and all before them say, from the nearest catalogues on."""

    def __init__(self, objects, heads):
        self.objects, self.heads, self.links = objects, heads, {}
        found, open_links = {}, list(heads)
        while open_links:
            name = open_links.pop()
            if name in self.links:
                continue
            link = self.links[name] = self.link(name)
            entries = link.entries()
            if link.catalogue is None:
                open_links += link.previous
            else:
                entries += self.catalogue(link)
            found.update({(entry.place, entry.key, entry.hash): entry for entry in entries})
        for link in self.links.values():
            before = [self.links[name].depth for name in link.previous if name in self.links]
            if before and len(before) == len(link.previous) and link.depth != max(before) + 1:
                self.refuse(link.name, f"it says that it is link {link.depth}, and it is link {max(before) + 1}")
        self.entries = [found[place] for place in sorted(found)]

    def refuse(self, name, problem):
        raise Unread("CONTEXT_CORRUPT", f"the context of tree {self.objects.tree} is broken at {name}: {problem}")

    def link(self, name):
        try:
            link = Link(name, self.objects.read(name).decode())
        except (ValueError, IndexError, KeyError) as error:
            self.refuse(name, f"it is no link: {error}")
        if link.form != 1 or link.tree != self.objects.tree:
            self.refuse(name, "it is no link of this tree")
        if not 1 <= link.depth <= MOST_LINKS or (link.depth == 1) != (not link.previous):
            self.refuse(name, f"it cannot be link {link.depth} behind {len(link.previous)} others")
        if len(self.links) >= MOST_LINKS or len(link.previous) > MOST_PREVIOUS:
            self.refuse(name, "there are too many links")
        return link

    def catalogue(self, link):
        """The memories of all links before one."""
        try:
            fields = members(self.objects.read(link.catalogue).decode())
            entries = [entry_of(text) for text in list_of(fields, "memories")]
        except (ValueError, IndexError, KeyError) as error:
            self.refuse(link.catalogue, f"it is no catalogue: {error}")
        if get(fields, "catalogue") != 1 or get(fields, "tree") != self.objects.tree:
            self.refuse(link.catalogue, "it is no catalogue of this tree")
        if any(entry.place[0] >= link.depth for entry in entries):
            self.refuse(link.catalogue, "it lists what is not before its link")
        return entries

    def newest(self):
        """The heads that none of the others stands behind, each with its depth."""
        passed = {name for link in self.links.values() for name in link.previous}
        return [(name, self.links[name].depth) for name in self.heads if name not in passed]

    def candidates(self, added=()):
        """What may be in a view: the newest revision of each key, in the order of the chain."""
        newest, superseded, entries = {}, {}, [*self.entries, *added]
        for at, entry in enumerate(entries):
            newest[entry.key] = at
            superseded[entry.of("supersedes")] = at
        found = [entries[at] for at in sorted(newest.values())]
        for entry in found:
            entry.is_superseded = superseded.get(entry.key, -1) > newest[entry.key]
        return found


def entry_of(text):
    fields = members(text)
    places = [get(fields, name) for name in ("depth", "intent", "hop", "index", "by")]
    return Entry(*places, fields["memory"])


class Draft:
    """The link that a hop is about to write behind these."""

    def __init__(self, chain, told, memories):
        self.chain, self.told, self.memories = chain, told, memories
        self.previous = chain.newest()
        self.depth = 1 + max((depth for _, depth in self.previous), default=0)
        self.payload = self.manifest = None

    def entries(self):
        return entries_of(self.depth, self.told["intent"], self.told["hop"], self.told["by"], self.memories)

    def says(self):
        """Whether it says more than where the chain stands."""
        return bool(self.memories or self.payload or self.manifest or len(self.previous) > 1)

    def store(self):
        """Stores it, and the catalogue where that is due; its hash."""
        objects, catalogue = self.chain.objects, None
        if self.depth > MOST_LINKS:
            self.chain.refuse("the next link", f"a chain has at most {MOST_LINKS} links")
        if self.depth % CATALOGUE_EVERY == 0 or len(self.previous) >= CATALOGUE_EVERY:
            entries = listed([entry.text() for entry in self.chain.entries])
            text = to_object({"catalogue": "1", "tree": to_json(objects.tree), "memories": entries})
            catalogue = to_json(objects.write_named(text.encode(), "application/json"))
        text = to_object({
            "link": "1",
            "tree": to_json(objects.tree),
            **{name: to_json(value) for name, value in self.told.items()},
            "depth": to_json(self.depth),
            "previous": to_json([name for name, _ in self.previous]) if self.previous else None,
            "memories": listed(self.memories) if self.memories else None,
            "payload": to_json(self.payload) if self.payload else None,
            "manifest": to_json(self.manifest) if self.manifest else None,
            "catalogue": catalogue,
        })
        return objects.write_named(text.encode(), "application/json")

"""Hops that ask others and do not come back (section 21, Fan-out), and what children came to."""

import uuid

from gates import open_waits, wait_again
from objects import body_of
from outcomes import Fail, HandOff, Next
from wire import get, hash_of, list_of, listed, object_of, to_json, to_object


def child_id(parent, hop, name, index):
    """The id of a child: whoever submits it makes the same one."""
    digits = hash_of("\n".join(["children", parent, str(hop), name]).encode())[:32]
    return f"{uuid.UUID(digits[:12] + '8' + digits[13:16] + f'{int(digits[16], 16) & 3 | 8:x}' + digits[17:])}-{index}"


def came_to(hop, end):
    """What a child came to: its last record has that, or an object of its tree."""
    head = hop.last_of_child(end)
    if head is None:
        raise Fail("CHILD_FAILED", f"the last record of child {end['index']} is gone")
    told = {name: to_json(end[name]) for name in ("index", "state", "code") if name in end}
    result, encoding = head.snapshot.get("result"), get(head.snapshot, "result_encoding")
    if get(head.snapshot, "result_ref") is not None:
        result, encoding = body_of(hop.objects, head.snapshot["result_ref"])
    return {**told, "result": result, "result_encoding": to_json(encoding) if encoding else None}


def in_place_of_handler(hop):
    """What a fan-out says in place of the handler once its children have ended; while they have not, it waits again."""
    spec = hop.fan_out
    name, onward = get(spec, "name"), object_of(spec, "onward")
    if name not in hop.calls:
        if not open_waits(hop):
            raise Fail("STEP_CHANGED", f"nobody knows what became of the fan-out {name}")
        return wait_again(hop, [name])
    ended = {end["index"]: end for end in hop.calls[name]}
    children = []
    for index in range(len(list_of(object_of(spec, "children"), "children"))):
        told = {"index": to_json(index), "id": to_json(child_id(hop.intent, hop.number, name, index))}
        if index in ended:
            told.update(came_to(hop, ended[index]))
            told["error"] = hop.last_of_child(ended[index]).snapshot.get("error")
        children.append(to_object({"state": to_json("open"), **told}))
    payload = {"children": listed(children), "timed_out": "true" if name in hop.timed_out else None}
    kind, history, note = get(onward, "kind"), onward.get("history"), get(onward, "note")
    if get(onward, "to") is None:
        return Next(to_object(payload), kind, history, note)
    return HandOff(get(onward, "to"), to_object(payload), kind, history, note)

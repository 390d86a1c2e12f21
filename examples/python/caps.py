"""The cap of an agent (section 26, Caps): controllers grant each call before it is made, and are told what it took."""

import json
import time

from outcomes import Exhausted, Retry
from wire import get, members, object_of, to_json, to_object, uuid7


class Cap:
    """What all workers of an agent may spend in a day."""

    def __init__(self, worker):
        self.worker, self.is_full, self.asked_at = worker, False, 0.0

    def is_set(self):
        route = self.worker.route(self.worker.agent) or {}
        return bool((route.get("limits") or {}).get("per_day"))

    def ask(self, told):
        """What a controller says. An answer may be lost, so each part of a question has an id and counts once."""
        question = to_object({"agent": to_json(self.worker.agent), "by": to_json(self.worker.instance), **told})
        for _ in range(20):
            answer = self.worker.nats.request(f"{self.worker.namespace}.control.caps.spend", question)
            said = members(answer.body.decode()) if answer is not None else {}
            if "ok" in said:
                self.is_full = get(members(said["ok"]), "full", False)
                return members(said["ok"])
            if said and get(object_of(said, "error"), "code") != "UNKNOWN_VERB":
                break  # A controller of before may have answered; another one may know the verb.
            time.sleep(0.1)
        raise Retry("NO_CONTROLLER", "no controller says what may be spent of the cap")

    def grant(self, hop, name, amounts):
        grant = uuid7()
        asked = {
            "id": to_json(grant), "what": to_json(f"step {name}"), "intent": to_json(hop.intent),
            "epoch": hop.snapshot["epoch"], "amounts": amounts,
        }
        refused = object_of(self.ask({"grant": to_object(asked)}), "refused")
        if refused:
            message = f"{hop.worker.agent} has spent what it may in a day: {refused.get('left')} is left"
            raise Exhausted("CAP_REACHED", message, refused.get("need", amounts))
        return grant

    def settle(self, grant, took):
        """Says what a call took; where that is not known, all that was granted counts."""
        try:
            self.ask({"settle": f"[{to_object({'id': to_json(grant), 'took': took})}]"})
        except Retry as problem:  # The leader counts it whole once the hop is over.
            print(json.dumps(str(problem)), flush=True)

    def has_room(self):
        """Whether new work may be taken: while nothing is left it is asked again each second."""
        if self.is_full and time.monotonic() - self.asked_at >= 1:
            self.asked_at = time.monotonic()
            try:
                self.is_full = self.is_set() and get(self.ask({}), "full", False)
            except Retry:
                pass
        return not self.is_full

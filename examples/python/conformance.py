"""The agent that `baton conformance agent` asks for: it does what the payload says (docs/conformance.md).

    NATS_URL=nats://127.0.0.1:4222 BATON_NAMESPACE=conformance python3 conformance.py echo
"""

import secrets
import sys
import time

import agent


def perform(hop):
    """Runs the script of the payload, one act after the other."""
    seen, calls, view = {}, {}, None
    for act in agent.elements(agent.members(hop.payload())["script"]):
        fields = agent.members(act)
        what = agent.get(fields, "do")
        code, message = agent.get(fields, "code", "ASKED"), "the script asked for it"
        if what == "step":
            name = agent.get(fields, "name")
            seen[name] = hop.step(name, effect)
        elif what == "spend":
            name, took = agent.get(fields, "name"), {"tokens": agent.get(fields, "took")}
            seen[name] = hop.spend(name, {"tokens": agent.get(fields, "most")}, lambda key: (effect(key), took))
        elif what == "remember":
            hop.remember(agent.get(fields, "key"), agent.get(fields, "text"), kind="decision")
        elif what == "view":
            view = agent.to_json(hop.view())
        elif what == "wait":
            until = time.monotonic() + agent.get(fields, "seconds")
            while time.monotonic() < until:
                hop.check()
                time.sleep(0.02)
        elif what == "retry":
            if hop.attempt <= agent.get(fields, "times", 1000):
                raise agent.Retry(code, message, agent.get(fields, "seconds"))
        elif what == "fail":
            raise agent.Fail(code, message)
        elif what == "reject":
            raise agent.Reject(code, message)
        elif what == "hand_off":
            return agent.HandOff(agent.get(fields, "to"), fields.get("payload", "null"))
        elif what == "next":
            return agent.Next(fields.get("payload", "null"))
        elif what == "call":
            name, payloads = agent.get(fields, "name"), agent.elements(fields["payloads"])
            calls[name] = agent.listed(hop.call(name, agent.get(fields, "to"), payloads))
        elif what == "broadcast":
            receivers, payload = agent.get(fields, "receivers"), fields.get("payload", "null")
            return agent.Broadcast(agent.get(fields, "channel"), receivers, payload)
        elif what == "complete":
            told = {"attempt": agent.to_json(hop.attempt), "steps": agent.to_object(seen)}
            told["calls"] = agent.to_object(calls) if calls else None
            return agent.Complete(agent.to_object({**told, "view": view}))
        else:
            raise agent.Fail("UNKNOWN_ACT", f"there is no word for {what}")
    raise agent.Fail("BAD_SCRIPT", "the script ends without an outcome")


def effect(key):
    """An effect that anyone can tell from any other run of it."""
    return agent.to_json({"key": key, "nonce": secrets.token_hex(8)})


if __name__ == "__main__":
    agent.main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "1.0.0", perform)

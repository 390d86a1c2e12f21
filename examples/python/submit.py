"""The submitter that `baton conformance submitter` asks for: it submits what its environment and its stdin say
(docs/conformance.md), in the way that its argument names: raw, envelope or record.

    baton conformance submitter -- python3 submit.py record
"""

import os
import sys

import agent
from submitter import Refused, Submitter, Work

# What `Work` takes, and whether it is a number.
ASKED = {
    "intent": str, "kind": str, "priority": int, "deadline": str, "max_hops": int, "constraints": str, "envelope": str,
    "gate": str, "order_key": str,
}
# What no header says.
NO_HEADER = ("constraints", "envelope", "gate")


def main(way):
    asked = {name: os.environ.get(f"SUBMIT_{name.upper()}") for name in ASKED}
    asked = {name: ASKED[name](value) for name, value in asked.items() if value is not None}
    if way == "raw" and any(name in asked for name in NO_HEADER):
        return 77
    work = Work(os.environ["SUBMIT_AGENT"], sys.stdin.buffer.read(), **asked)
    nats = agent.Nats(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
    client = Submitter(nats, os.environ.get("BATON_NAMESPACE", "mesh"))
    submit = getattr(client, way)
    seconds = os.environ.get("SUBMIT_WAIT")
    if seconds is None:
        submit(work)
        return 0
    status, text = client.ask(submit, work, float(seconds))
    if status != "completed":
        print(f"{status}: {text}", file=sys.stderr)
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "raw"))
    except Refused as refused:
        print(refused, file=sys.stderr)
        sys.exit(1)

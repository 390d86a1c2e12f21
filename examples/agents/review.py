#!/usr/bin/env python3
"""An agent in Python that knows nothing of NATS.

    baton worker --agent review --version 1.0.0 --json --exec 'python3 examples/agents/review.py'
    nats pub mesh.intent.review '{"title": "otters", "text": "They play."}'

A text of more than 500 words is handed to an agent `editor`: start one too, or such work is parked.

It reads one JSON object, writes JSON lines, and ends with one that has `outcome`. A step that is
recorded comes back in `steps` when the worker died in between: it is not done again.
"""

import json
import sys

told = json.load(sys.stdin)
draft = told["payload"]
steps = told["steps"]


def say(**line):
    print(json.dumps(line), flush=True)


if not isinstance(draft, dict) or "text" not in draft:
    say(outcome="reject", code="NO_TEXT", reason="the payload needs a `text`")
    sys.exit(0)

if "count" not in steps:
    say(progress="counting words")
    steps["count"] = len(draft["text"].split())
    say(step="count", result=steps["count"])

if steps["count"] > 500:
    say(outcome="hand_off", to="editor", payload=draft, note="too long to review as it is")
else:
    say(outcome="complete", result={"title": draft.get("title"), "words": steps["count"], "verdict": "fine"})

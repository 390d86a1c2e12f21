#!/usr/bin/env python3
"""A supervisor in Python: it splits a question over workers and does not come back. Another agent gets what they found.

    baton worker --agent supervisor --version 1.0.0 --json --exec 'python3 examples/agents/supervisor.py'
    baton worker --agent searcher --version 1.0.0 --exec 'tr a-z A-Z'
    baton worker --agent report --version 1.0.0 --json --exec 'python3 examples/agents/report.py'
    baton send supervisor '{"topic": "otters", "places": ["rivers", "lakes", "the sea"]}' --itinerary report --wait

Two results are enough; the rest is cancelled. Without `to` the results go to whoever is next: here that is `report` by the
itinerary. While the searchers work, nothing of this program is held, and it is not run again.
"""

import json
import sys

told = json.load(sys.stdin)
work = told["payload"]

if not isinstance(work, dict) or not work.get("places"):
    print(json.dumps({"outcome": "reject", "code": "NO_PLACES", "reason": "the payload needs `places`, a list"}))
    sys.exit(0)

children = [{"payload": f"{work.get('topic')} in {place}"} for place in work["places"]]
calls = {"to": "searcher", "children": children, "join": "some", "need": min(2, len(children)), "until": "10m"}
print(json.dumps({"outcome": "fan_out", "calls": calls, "note": f"asked {len(children)} searchers"}))

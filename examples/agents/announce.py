#!/usr/bin/env python3
"""Tells all that listen to a channel, in Python: it ends with a message, and its intent is done when every receiver is.

    baton worker --agent ada --version 1.0.0 --channel news --exec 'tr a-z A-Z'
    baton worker --agent bob --version 1.0.0 --channel news --exec cat
    baton worker --agent crier --version 1.0.0 --exec ./announce.py --json
    baton send crier '{"what": "rain"}' --id news-1 --wait
    baton channels status news-1
"""

import json
import sys

news = json.load(sys.stdin)["payload"]
print(json.dumps({"outcome": "broadcast", "channel": "news", "payload": news}))

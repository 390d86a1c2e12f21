#!/bin/sh
# One message for three: two that subscribe by themselves, and one that an operator subscribes. Against a mesh that runs
# (`baton dev`):
#
#     sh examples/shell/broadcast.sh
set -eu
baton=${BATON:-baton}
workers=
# shellcheck disable=SC2086
trap '[ -z "$workers" ] || kill $workers' EXIT
start() {
    "$baton" worker --version 1.0.0 "$@" &
    workers="$workers $!"
}
start --agent ada --exec 'tr a-z A-Z' --channel news
start --agent bob --exec 'rev' --channel news
start --agent eve --exec 'wc -c'
# Known once a controller has heard of them.
for agent in ada bob eve; do
    until "$baton" agents describe "$agent" >/dev/null 2>&1; do sleep 1; done
done
"$baton" channels subscribe news eve --reason 'it counts the news'
"$baton" channels show news
id=${1:-news-$(date +%s)}
"$baton" send --channel news 'it rains' --id "$id" --wait --timeout 2m
"$baton" channels status "$id"
"$baton" intents tree "$id"

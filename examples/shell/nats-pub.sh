#!/bin/sh
# Submits what `baton conformance submitter` asks for, by the `nats` command line alone (docs/conformance.md):
#
#     baton conformance submitter -- sh examples/shell/nats-pub.sh
set -eu
# What needs a whole envelope, and waiting for an answer, is more than a line of shell: examples/python has both.
[ -z "${SUBMIT_CONSTRAINTS+set}${SUBMIT_ENVELOPE+set}${SUBMIT_GATE+set}${SUBMIT_WAIT+set}" ] || exit 77
case ${SUBMIT_KIND-} in
*[[:cntrl:]]*)
    echo "a kind has no control characters" >&2
    exit 1
    ;;
esac
# Made here, once, so that a second try is the same intent.
set -- -H "Baton-Intent:${SUBMIT_INTENT:-$(uuidgen 2>/dev/null || cat /proc/sys/kernel/random/uuid)}"
[ -z "${SUBMIT_KIND+set}" ] || set -- "$@" -H "Baton-Kind:$SUBMIT_KIND"
[ -z "${SUBMIT_PRIORITY+set}" ] || set -- "$@" -H "Baton-Priority:$SUBMIT_PRIORITY"
[ -z "${SUBMIT_DEADLINE+set}" ] || set -- "$@" -H "Baton-Deadline:$SUBMIT_DEADLINE"
[ -z "${SUBMIT_MAX_HOPS+set}" ] || set -- "$@" -H "Baton-Max-Hops:$SUBMIT_MAX_HOPS"
[ -z "${SUBMIT_ORDER_KEY+set}" ] || set -- "$@" -H "Baton-Order-Key:$SUBMIT_ORDER_KEY"
# With --jetstream it waits for the server's acknowledgement; without, a full stream would refuse unseen.
publish() {
    "${NATS:-nats}" --server "$NATS_URL" pub --jetstream --no-templates "$@"
}
subject=${BATON_NAMESPACE:-mesh}.intent.$SUBMIT_AGENT
payload=$(mktemp)
trap 'rm -f "$payload"' EXIT
cat >"$payload"
if [ -s "$payload" ]; then
    publish --force-stdin "$@" "$subject" <"$payload"
else
    publish "$@" "$subject" ''
fi

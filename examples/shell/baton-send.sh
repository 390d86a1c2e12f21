#!/bin/sh
# Submits what `baton conformance submitter` asks for, by `baton send` (docs/conformance.md):
#
#     baton conformance submitter -- sh examples/shell/baton-send.sh
set -eu
# Further fields of an envelope have no flag.
[ -z "${SUBMIT_ENVELOPE+set}" ] || exit 77
set -- "$SUBMIT_AGENT" -
[ -z "${SUBMIT_INTENT+set}" ] || set -- "$@" --id "$SUBMIT_INTENT"
[ -z "${SUBMIT_KIND+set}" ] || set -- "$@" --kind "$SUBMIT_KIND"
[ -z "${SUBMIT_PRIORITY+set}" ] || set -- "$@" --priority "$SUBMIT_PRIORITY"
[ -z "${SUBMIT_DEADLINE+set}" ] || set -- "$@" --deadline "$SUBMIT_DEADLINE"
[ -z "${SUBMIT_MAX_HOPS+set}" ] || set -- "$@" --max-hops "$SUBMIT_MAX_HOPS"
[ -z "${SUBMIT_CONSTRAINTS+set}" ] || set -- "$@" --constraints "$SUBMIT_CONSTRAINTS"
[ -z "${SUBMIT_GATE+set}" ] || set -- "$@" --gate "$SUBMIT_GATE"
[ -z "${SUBMIT_ORDER_KEY+set}" ] || set -- "$@" --order-key "$SUBMIT_ORDER_KEY"
[ -z "${SUBMIT_WAIT+set}" ] || set -- "$@" --wait --timeout "${SUBMIT_WAIT}s"
exec "${BATON:-baton}" send "$@"

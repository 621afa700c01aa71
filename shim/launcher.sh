#!/bin/sh
# containerd-shim-runv-v2: starts the shim's Node, and answers by itself what needs none. containerd waits for
# the answer, which would take a Node ten times as long.
self=$0
[ -L "$self" ] && self=$(readlink -f -- "$self")
lib=${self%/*}
for action; do :; done

# `start` of a container whose pod runs answers what its sandbox's `start` did, and keeps the address where
# containerd, started again, looks for it. Both are in the sandbox's bundle, beside this container's. Where they
# are not, joinSandbox in bootstrap.ts says what is wrong. The specification is JSON without spaces between
# tokens; in a string, these quotes would have backslashes.
if [ "$action" = start ]; then
  found=$(grep -oE '[{,]"io\.kubernetes\.cri\.(container-type":"container|sandbox-id":"[0-9A-Za-z][0-9A-Za-z._-]*)"' config.json 2>&1)
  case $found in *'container-type":"container"'*'sandbox-id":"'*)
    sandbox=${found##*sandbox-id\":\"}
    sandbox=../${sandbox%\"}
    if [ -f "$sandbox/runv/reply" ] && [ -f "$sandbox/address" ]; then
      read -r address <"$sandbox/address"
      read -r reply <"$sandbox/runv/reply"
      printf %s "$address" >address && printf %s "$reply" && exit
    fi
    ;;
  esac
fi

# `delete` without the bundle's link has nothing to delete: the daemon has ended in order (docs/journal.md).
# containerd waits for it in each removal. The answer is a DeleteResponse: exit_status 137, exited_at now,
# whose seconds are a varint of five bytes.
if [ "$action" = delete ] && [ ! -L runv ]; then
  s=$(date +%s)
  set -- $((s & 127 | 128)) $((s >> 7 & 127 | 128)) $((s >> 14 & 127 | 128)) $((s >> 21 & 127 | 128)) $((s >> 28))
  # shellcheck disable=SC2059 # the format is what we make of the bytes
  printf "$(printf '\\020\\211\\001\\032\\006\\010\\%03o\\%03o\\%03o\\%03o\\%03o' "$@")"
  exit
fi

[ "$action" = start ] || exec "$lib/node" "$lib/shim.cjs" "$@"
# A `start` that is killed half-way has told containerd nothing, so nobody else would clean up after it.
"$lib/node" "$lib/shim.cjs" "$@"
status=$?
[ $status -lt 128 ] || "$lib/node" "$lib/shim.cjs" clean
exit $status

#!/bin/sh
# runv: starts the command's Node.
self=$0
[ -L "$self" ] && self=$(readlink -f -- "$self")
lib=${self%/*}
exec "$lib/node" "$lib/runv.cjs" "$@"

#!/bin/bash
# gVisor's runsc, a static program, to compare with: from Debian's backports into the cache. Prints its path.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${RUNV_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/runv}
bin=$cache/runsc
if [ ! -x "$bin" ]; then
  mkdir -p "$cache"
  tmp=$(mktemp -d "$cache/.runsc.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  trap 'exit 130' INT TERM
  "$top/deploy/suite-package.sh" bookworm-backports runsc "$tmp"
  mv -f "$tmp/usr/bin/runsc" "$bin"
fi
echo "$bin"

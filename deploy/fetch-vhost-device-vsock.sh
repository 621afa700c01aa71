#!/bin/bash
# dist/vhost-device-vsock: the vsock device in a process, for hosts without /dev/vhost-vsock.
# Debian has it from a later suite than 12; its binary needs nothing newer than libc 2.34.
set -euo pipefail
umask 022
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${RUNV_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/runv}
bin=$cache/vhost-device-vsock

die() { echo "vhost-device-vsock: $*" >&2; exit 1; }

mkdir -p "$cache" "$top/dist"
exec 9>"$cache/vhost-device-vsock.lock"
flock 9
if [ ! -x "$bin" ]; then
  program=$("$top/deploy/fetch-from-suite.sh" sid vhost-device-vsock)/usr/bin/vhost-device-vsock
  [ -x "$program" ] || die "the package holds no usr/bin/vhost-device-vsock"
  "$program" --version >/dev/null || die "the binary does not run on this machine"
  ln -f "$program" "$bin"
fi
[ ! "$bin" -ef "$top/dist/vhost-device-vsock" ] || exit 0
ln -f "$bin" "$top/dist/.vhost.$$" 2>/dev/null || cp "$bin" "$top/dist/.vhost.$$"
mv -f "$top/dist/.vhost.$$" "$top/dist/vhost-device-vsock"

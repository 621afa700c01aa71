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
  tmp=$(mktemp -d "$cache/.vhost-device-vsock.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  trap 'exit 130' INT TERM
  "$top/deploy/suite-package.sh" sid vhost-device-vsock "$tmp/x" 9>&-
  [ -x "$tmp/x/usr/bin/vhost-device-vsock" ] || die "the package holds no usr/bin/vhost-device-vsock"
  "$tmp/x/usr/bin/vhost-device-vsock" --version >/dev/null || die "the binary does not run on this machine"
  mv -f "$tmp/x/usr/bin/vhost-device-vsock" "$bin"
fi
[ ! "$bin" -ef "$top/dist/vhost-device-vsock" ] || exit 0
ln -f "$bin" "$top/dist/.vhost.$$" 2>/dev/null || cp "$bin" "$top/dist/.vhost.$$"
mv -f "$top/dist/.vhost.$$" "$top/dist/vhost-device-vsock"

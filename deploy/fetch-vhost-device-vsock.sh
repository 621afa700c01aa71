#!/bin/bash
# dist/vhost-device-vsock: the vsock device in a process, for hosts without /dev/vhost-vsock.
# Debian has it from a later suite than 12; its binary needs nothing newer than libc 2.34. The machine's own
# package lists are left alone: a private one names the mirror that the machine itself uses.
set -euo pipefail
umask 022
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${RUNV_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/runv}
suite=sid
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
bin=$cache/vhost-device-vsock

die() { echo "vhost-device-vsock: $*" >&2; exit 1; }

mkdir -p "$cache" "$top/dist"
exec 9>"$cache/vhost-device-vsock.lock"
flock 9
if [ ! -x "$bin" ]; then
  mirror=$(awk '/^URIs:/{print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)
  [ -n "$mirror" ] || mirror=$(awk '$1 == "deb" && $2 !~ /^\[/ {print $2; exit}' /etc/apt/sources.list 2>/dev/null || true)
  [ -n "$mirror" ] || die "no Debian mirror in /etc/apt/sources.list.d/debian.sources or /etc/apt/sources.list"
  [ -f "$keyring" ] || die "$keyring is missing (package debian-archive-keyring)"
  tmp=$(mktemp -d "$cache/.vhost-device-vsock.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  trap 'exit 130' INT TERM
  mkdir -p "$tmp/lists/partial" "$tmp/archives/partial"
  echo "deb [signed-by=$keyring] $mirror $suite main" >"$tmp/sources.list"
  # A frozen mirror is as good as a live one here; signatures are checked all the same.
  apt=(apt-get -qq -o Acquire::Check-Valid-Until=false -o Dir::Etc::SourceList="$tmp/sources.list" -o Dir::Etc::SourceParts=/nonexistent
    -o Dir::State::Lists="$tmp/lists" -o Dir::Cache::Archives="$tmp/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o APT::Sandbox::User=root -o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o Acquire::Languages=none)
  echo "vhost-device-vsock: fetching the package lists of Debian $suite"
  # apt-get update warns and succeeds when a mirror does not answer; a list that is not there is the failure.
  "${apt[@]}" update >"$tmp/log" 2>&1 || true
  compgen -G "$tmp/lists/*Packages*" >/dev/null || die "no package list of Debian $suite from this machine's mirror: $(grep -m1 -E '^(E|W|Err)' "$tmp/log" || echo 'no answer')"
  (cd "$tmp" && "${apt[@]}" download vhost-device-vsock) >"$tmp/log" 2>&1 || die "download failed: $(tail -n1 "$tmp/log")"
  dpkg-deb -x "$tmp"/vhost-device-vsock_*.deb "$tmp/x"
  [ -x "$tmp/x/usr/bin/vhost-device-vsock" ] || die "the package holds no usr/bin/vhost-device-vsock"
  "$tmp/x/usr/bin/vhost-device-vsock" --version >/dev/null || die "the binary does not run on this machine"
  mv -f "$tmp/x/usr/bin/vhost-device-vsock" "$bin"
fi
[ ! "$bin" -ef "$top/dist/vhost-device-vsock" ] || exit 0
ln -f "$bin" "$top/dist/.vhost.$$" 2>/dev/null || cp "$bin" "$top/dist/.vhost.$$"
mv -f "$top/dist/.vhost.$$" "$top/dist/vhost-device-vsock"

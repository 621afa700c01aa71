#!/bin/bash
# Unpacks packages of a Debian suite into the cache, without installing them: fetch-from-suite.sh SUITE PACKAGE…
# prints the folder with their files. For what the machine's own suite has not, or has in another version. The
# machine's package lists are left alone: a private one names the mirror that the machine itself uses.
set -euo pipefail
umask 022
cache=${RUNV_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/runv}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
suite=${1:?a suite, such as sid}
shift
[ $# -gt 0 ] || { echo "fetch-from-suite: name at least one package" >&2; exit 1; }
target=$cache/suite-$suite/$(IFS=+; echo "$*")

die() { echo "packages of Debian $suite: $*" >&2; exit 1; }

if [ ! -d "$target" ]; then
  mkdir -p "${target%/*}"
  exec 9>"$cache/suite-$suite/.lock"
  flock 9
fi
if [ ! -d "$target" ]; then
  mirror=$(awk '/^URIs:/{print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)
  [ -n "$mirror" ] || mirror=$(awk '$1 == "deb" && $2 !~ /^\[/ {print $2; exit}' /etc/apt/sources.list 2>/dev/null || true)
  [ -n "$mirror" ] || die "no Debian mirror in /etc/apt/sources.list.d/debian.sources or /etc/apt/sources.list"
  [ -f "$keyring" ] || die "$keyring is missing (package debian-archive-keyring)"
  tmp=$(mktemp -d "$cache/suite-$suite/.fetch.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  trap 'exit 130' INT TERM
  chmod 755 "$tmp"
  lists=$cache/suite-$suite/.lists
  mkdir -p "$lists/partial" "$tmp/archives/partial"
  echo "deb [signed-by=$keyring] $mirror $suite main" >"$tmp/sources.list"
  # A frozen mirror is as good as a live one here; signatures are checked all the same.
  apt=(apt-get -qq -o Acquire::Check-Valid-Until=false -o Dir::Etc::SourceList="$tmp/sources.list" -o Dir::Etc::SourceParts=/nonexistent
    -o Dir::State::Lists="$lists" -o Dir::Cache::Archives="$tmp/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o APT::Sandbox::User=root -o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o Acquire::Languages=none)
  echo "packages of Debian $suite: fetching $*" >&2
  # apt-get update warns and succeeds when a mirror does not answer; a list that is not there is the failure.
  "${apt[@]}" update >"$tmp/log" 2>&1 || true
  compgen -G "$lists/*Packages*" >/dev/null || die "no package list from this machine's mirror: $(grep -m1 -E '^(E|W|Err)' "$tmp/log" || echo 'no answer')"
  (cd "$tmp" && "${apt[@]}" download "$@") >"$tmp/log" 2>&1 || die "download failed: $(tail -n1 "$tmp/log")"
  mkdir "$tmp/files"
  for package in "$tmp"/*.deb; do dpkg-deb -x "$package" "$tmp/files"; done
  mv -T "$tmp/files" "$target"
fi
echo "$target"

#!/bin/bash
# usage: suite-package.sh SUITE PACKAGE DIR
# Unpacks a package of another Debian suite than the machine's into DIR, without what it depends on. The machine's
# own package lists are left alone: a private one names the mirror that the machine itself uses.
set -euo pipefail
suite=$1 package=$2 target=$3
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

die() { echo "$package: $*" >&2; exit 1; }

mirror=$(awk '/^URIs:/{print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)
[ -n "$mirror" ] || mirror=$(awk '$1 == "deb" && $2 !~ /^\[/ {print $2; exit}' /etc/apt/sources.list 2>/dev/null || true)
[ -n "$mirror" ] || die "no Debian mirror in /etc/apt/sources.list.d/debian.sources or /etc/apt/sources.list"
[ -f "$keyring" ] || die "$keyring is missing (package debian-archive-keyring)"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$tmp/lists/partial" "$tmp/archives/partial"
echo "deb [signed-by=$keyring] $mirror $suite main" >"$tmp/sources.list"
# A frozen mirror is as good as a live one here; signatures are checked all the same.
apt=(apt-get -qq -o Acquire::Check-Valid-Until=false -o Dir::Etc::SourceList="$tmp/sources.list" -o Dir::Etc::SourceParts=/nonexistent
  -o Dir::State::Lists="$tmp/lists" -o Dir::Cache::Archives="$tmp/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
  -o APT::Sandbox::User=root -o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o Acquire::Languages=none)
echo "$package: fetching the package lists of Debian $suite" >&2
# apt-get update warns and succeeds when a mirror does not answer; a list that is not there is the failure.
"${apt[@]}" update >"$tmp/log" 2>&1 || true
compgen -G "$tmp/lists/*Packages*" >/dev/null || die "no package list of Debian $suite from this machine's mirror: $(grep -m1 -E '^(E|W|Err)' "$tmp/log" || echo 'no answer')"
(cd "$tmp" && "${apt[@]}" download "$package") >"$tmp/log" 2>&1 || die "download failed: $(tail -n1 "$tmp/log")"
dpkg-deb -x "$tmp/$package"_*.deb "$target"

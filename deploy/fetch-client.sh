#!/bin/bash
# Builds a containerd client written in Go, nerdctl or crictl, at the version of test/clients/NAME/go.mod, into the
# cache and prints its path. Needs Go and its modules. By `go build`, not by `go install PACKAGE@VERSION`, which also
# asks for lists of versions that a mirror of modules need not have. The modules' checksums are in go.sum beside go.mod:
# no checksum database is asked. After another version is put into go.mod, build with -mod=mod to write a new one.
set -euo pipefail
umask 022
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${RUNV_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/runv}
name=${1:?the name of a client, such as nerdctl}
definition=$top/test/clients/$name
target=$cache/$name-$(cat "$definition"/go.{mod,sum} | sha256sum | cut -c1-16)

die() { echo "$name: $*" >&2; exit 1; }

if [ ! -e "$target" ]; then
  command -v go >/dev/null || die "there is no Go (package golang) to build it with"
  mkdir -p "$cache"
  exec 9>"$target.lock"
  flock 9
fi
if [ ! -e "$target" ]; then
  tmp=$(mktemp -d "$cache/.$name.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  trap 'exit 130' INT TERM
  cp "$definition"/go.{mod,sum} "$tmp"
  package=$(awk '$1 == "require" {print $2; exit}' "$definition/go.mod")/cmd/$name
  # Go wants to see that the module is used.
  printf '//go:build tools\n\npackage clients\n\nimport _ "%s"\n' "$package" >"$tmp/tools.go"
  echo "$name: building it (once, some minutes)" >&2
  (cd "$tmp" && CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false -o "$tmp/program" "$package") >"$tmp/log" 2>&1 ||
    die "building it failed: $(grep -m1 -v '^go: downloading' "$tmp/log")"
  mv "$tmp/program" "$target"
fi
echo "$target"

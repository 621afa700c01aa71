#!/bin/bash
# Unpacks containerd's published .proto files from their Debian packages into the cache, for the test that compares
# ours with them. Not installed: the packages would pull in a hundred others. Prints the folder with the files.
set -euo pipefail
cache=${RUNV_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/runv}
target=$cache/published-protos
if [ ! -d "$target" ]; then
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/published-protos.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  chmod 755 "$work"
  download() {
    (cd "$work" && apt-get -qq -o Acquire::Retries=2 download golang-github-containerd-{containerd,cgroups}-dev) >&2
  }
  download || { apt-get -qq update >&2 && download; } ||
    { echo "published protos: cannot be downloaded: does the mirror in /etc/apt answer?" >&2; exit 1; }
  for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/files"; done
  mv -T "$work/files" "$target" 2>/dev/null || [ -d "$target" ] # another run was quicker
fi
echo "$target/usr/share/gocode/src"

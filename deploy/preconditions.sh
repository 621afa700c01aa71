#!/bin/sh
# Checks what a target needs before it starts; each failure is one line.  usage: preconditions.sh [root] [disk] [node]
fail() { echo "$1" >&2; exit 1; }
for need in "$@"; do
  case $need in
    root) [ "$(id -u)" = 0 ] || fail "this needs root: run it with sudo" ;;
    disk)
      dir=${RUNV_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/runv}
      while [ ! -d "$dir" ]; do dir=$(dirname "$dir"); done
      for d in "$dir" .; do
        [ "$(df -Pk "$d" | awk 'NR == 2 {print $4}')" -gt 5000000 ] || fail "less than 5 GB free on the file system of $d"
      done ;;
    node)
      major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null) ||
        fail "there is no Node: install Node 20 or newer, with npm"
      [ "$major" -ge 20 ] || fail "Node $major is too old: install Node 20 or newer" ;;
    *) fail "preconditions.sh: unknown need $need" ;;
  esac
done

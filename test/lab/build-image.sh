#!/bin/bash
# Builds the lab's disk: a small Debian 12 with what the tests call, its kernel, and an initrd that mounts it.
# Nothing of runv is in it: the build under test arrives on a disk of its own at each start (payload.ts).
#
#   build-image.sh          build (or take from the cache) and print the folder with root.ext4, vmlinuz, initrd
#   build-image.sh --print  print that folder's name without building
#
# Progress goes to stderr. The folder's name is a hash of what decides its content, as for kernel and root image.
set -euo pipefail
umask 022
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${RUNV_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/runv}
suite=bookworm
disk_size=24G # sparse
kernel=linux-image-cloud-amd64
packages=(
  # as on any host of runv
  containerd runc qemu-system-x86 containernetworking-plugins e2fsprogs erofs-utils iproute2 iptables util-linux kmod
  # the devmapper snapshotter, and disks in its pool
  dmsetup thin-provisioning-tools
  # what tests call; `script` is in bsdextrautils or bsdutils, debugfs in e2fsprogs
  bsdutils busybox-static procps
)

die() { echo "lab: $*" >&2; exit 1; }
say() { echo "lab: $*" >&2; }

[ "$(uname -m)" = x86_64 ] || die "is built on x86_64 only, this is $(uname -m)"
[ "$(id -u)" = 0 ] || die "this needs root: run it with sudo"
for tool in mmdebstrap mke2fs dpkg-deb busybox flock; do
  command -v "$tool" >/dev/null || die "$tool is missing: run 'make setup'"
done
# The machine's own mirror and suites.
for sources in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list ''; do
  [ ! -f "$sources" ] || break
done
[ -n "$sources" ] || die "no Debian mirror in /etc/apt/sources.list.d/debian.sources or /etc/apt/sources.list"

# One line per package: file name and checksum, as the machine's own package lists have them.
mkdir -p "$cache"
known() { apt-get -qq --print-uris download "${packages[@]}" "$kernel" 2>/dev/null | awk '{print $2, $4}' | sort; }
debs=$(known) || {
  say "fetching package lists"
  apt-get -qq -o Acquire::Retries=2 -o Acquire::http::Timeout=30 update >&2 || true
  debs=$(known) || die "no package lists: does the mirror in $sources answer?"
}
hash=$({
  cat "$here/build-image.sh" "$sources"
  echo "$debs"
} | sha256sum | cut -c1-16)
dir=$cache/lab-$hash
if [ "${1-}" = --print ]; then
  echo "$dir"
  exit
fi

exec 9>"$cache/lab-$hash.lock"
flock -n 9 || { say "another build of the same image is running, waiting for it"; flock 9; }
if [ -f "$dir/root.ext4" ]; then
  touch "$dir"
  say "image from $dir"
  echo "$dir"
  exit
fi
rm -rf "$cache/.lab-$hash".* # left by a build that was killed
[ "$(df -Pk "$cache" | awk 'NR == 2 {print $4}')" -gt 3000000 ] || die "less than 3 GB free on the file system of $cache"

tmp=$(mktemp -d "$cache/.lab-$hash.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
began=$SECONDS

# --- the system ----------------------------------------------------------------------------------
say "installing Debian $suite with ${#packages[@]} packages (half a minute)"
# The kernel is unpacked, not installed: its installation would make an initrd with tools that nothing else needs.
cat >"$tmp/fetch-kernel" <<'HOOK'
#!/bin/sh
set -eu
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
cd "${0%/*}"
kernel=$(apt-cache depends --important linux-image-cloud-amd64 | awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ {print $2; exit}')
apt-get -qq -o APT::Sandbox::User=root download "$kernel"
HOOK
chmod 755 "$tmp" "$tmp/fetch-kernel"
SOURCE_DATE_EPOCH=1700000000 mmdebstrap --variant=minbase \
  --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "2"' --aptopt='Acquire::http::Timeout "30"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --include="$(IFS=,; echo "${packages[*]}")" --customize-hook="$tmp/fetch-kernel" \
  "$suite" "$tmp/root" "$sources" >"$tmp/log" 2>&1 9>&- &
child=$!
trap 'kill "$child" 2>/dev/null || true; wait "$child" || true; rm -rf "$tmp"' EXIT
while kill -0 "$child" 2>/dev/null; do
  sleep 1
  [ $(((SECONDS - began) % 10)) -ne 0 ] || say "$(grep '^I: ' "$tmp/log" | tail -n1 | cut -c4-), $((SECONDS - began)) s"
done
wait "$child" || die "installing failed, does the mirror in $sources answer? $(grep -m1 -E '^E:|^Err' "$tmp/log" || tail -n1 "$tmp/log")"
trap 'rm -rf "$tmp"' EXIT

root=$tmp/root
mkdir "$tmp/kernel"
dpkg-deb -x "$tmp"/linux-image-*.deb "$tmp/kernel"
version=$(ls "$tmp/kernel/lib/modules")
mkdir -p "$root/lib/modules"
mv "$tmp/kernel/lib/modules/$version" "$root/lib/modules/"
chroot "$root" depmod "$version"
# mmdebstrap names it otherwise; the tests' images are keyed by it.
mkdir -p "$root/etc/apt/sources.list.d"
cp "$sources" "$root$sources"
echo lab >"$root/etc/hostname"
printf '127.0.0.1 localhost lab\n::1 localhost\n' >"$root/etc/hosts"
mkdir -p "$root/lab"

# --- the initrd ----------------------------------------------------------------------------------
initrd=$tmp/initrd
mkdir -p "$initrd"/{bin,lib,proc,sys,dev,root}
cp "$root/bin/busybox" "$initrd/bin/busybox"
for applet in sh mount umount insmod switch_root echo; do ln -s busybox "$initrd/bin/$applet"; done
number=10 # the order in which they depend on each other
chroot "$root" sh -c "for module in virtio_pci virtio_blk virtio_console ext4 erofs; do modprobe --set-version=$version --show-depends \$module; done" |
  awk '$1 == "insmod" && !seen[$2]++ {print $2}' >"$tmp/modules"
while read -r file; do
  cp "$root$file" "$initrd/lib/$number-$(basename "$file")"
  number=$((number + 1))
done <"$tmp/modules"
cat >"$initrd/init" <<'INIT'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in /lib/*.ko; do insmod "$module"; done
mount -t ext4 -o noatime /dev/vda /root
mount -t erofs -o ro /dev/vdb /root/lab
mount --move /dev /root/dev
umount /proc /sys
exec switch_root /root /lab/init
INIT
chmod 755 "$initrd/init"

# --- out -----------------------------------------------------------------------------------------
mkdir "$tmp/out"
(cd "$initrd" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$tmp/out/initrd"
mv "$tmp/kernel/boot/vmlinuz-$version" "$tmp/out/vmlinuz"
truncate -s "$disk_size" "$tmp/out/root.ext4"
mke2fs -q -F -t ext4 -m 0 -E lazy_itable_init=1,lazy_journal_init=1,nodiscard -d "$root" "$tmp/out/root.ext4" >"$tmp/log" 2>&1 ||
  die "making the disk failed: $(tail -n1 "$tmp/log")"
{
  echo "kernel $version"
  chroot "$root" dpkg-query -W
} >"$tmp/out/manifest"
chmod 755 "$tmp/out"
mv -T "$tmp/out" "$dir"
# The ones not used for longest go.
find "$cache" -maxdepth 1 -type d -name 'lab-*' -printf '%T@ %f\n' | sort -rn | tail -n +3 |
  while read -r _ old; do rm -rf "${cache:?}/$old" "$cache/$old.lock"; done
say "image built in $((SECONDS - began)) s, $(du -m "$dir/root.ext4" | cut -f1) MB, in $dir"
echo "$dir"

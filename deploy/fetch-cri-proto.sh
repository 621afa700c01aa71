#!/bin/bash
# Prints the path of Kubernetes' published CRI definitions (api.proto), from Debian's package, for the tests that
# speak CRI: neither the file nor code made of it is in this repository.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
files=$("$here/fetch-from-suite.sh" sid golang-k8s-cri-api-dev)
echo "$files/usr/share/gocode/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto"

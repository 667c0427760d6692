#!/bin/sh
# Resolves requirements/*.in into locks. Overrides keep out what needs a compiler (see requirements/overrides.txt).
set -eu
cd "$(dirname "$0")/.."
command -v uv >/dev/null || { echo 'lock: needs uv' >&2; exit 1; }
for name in runtime dev; do
    uv pip compile --quiet --no-header --python-version 3.11 --override requirements/overrides.txt \
        "requirements/$name.in" -o "requirements/$name.lock"
done

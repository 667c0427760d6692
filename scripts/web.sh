#!/bin/sh
# The pages of web/: `build` puts them into the package, `check` types them and compares a build with what is there, byte
# for byte. Without a node that can build, `check` says so and leaves it to tests/test_web.py, which compares hashes.
set -eu
cd "$(dirname "$0")/../web"
made=node_modules/.inos-made-of

can_build() {
    command -v npm >/dev/null 2>&1 || return 1
    node -e 'const [a, b] = process.versions.node.split(".").map(Number);
        process.exit((a == 20 && b >= 19) || (a == 22 && b >= 12) || a > 22 ? 0 : 1)' 2>/dev/null
}

install() {
    [ "$(cat "$made" 2>/dev/null)" = "$(cksum <package-lock.json)" ] && return
    npm ci --ignore-scripts --no-fund --no-audit --loglevel=error >&2 || {
        echo "web: npm could not install what package-lock.json lists; the lines above say why" >&2
        exit 1
    }
    cksum <package-lock.json >"$made"
}

case "${1:-}" in
build)
    can_build || {
        echo "web: building the pages needs node 20.19, 22.12 or newer, and npm" >&2
        exit 1
    }
    install
    npm run --silent build
    ;;
check)
    if ! can_build; then
        echo "web: no node that can build; hashes are compared by tests/test_web.py"
        exit 0
    fi
    install
    npm run --silent check
    fresh=$(mktemp -d)
    trap 'rm -rf "$fresh"' EXIT
    npm run --silent build -- "$fresh"
    if ! { cmp "$fresh/built.json" built.json && diff -r "$fresh/inbox" ../src/inos/api/inbox; } >&2; then
        echo "web: the pages in the package are not what web/ builds; run: make web" >&2
        exit 1
    fi
    ;;
*)
    echo "usage: web.sh build|check" >&2
    exit 2
    ;;
esac

#!/bin/sh
# Makes .venv hold exactly what requirements/dev.lock lists, and this project. Instant when nothing changed.
#
# The lock is complete, so everything is installed with --no-deps: that keeps out fastecdsa, which libp2p asks for, INOS
# never uses, and which needs a C compiler. The few packages without a wheel are pure Python and are built by the locked
# setuptools (--no-build-isolation), so nothing outside the lock is ever fetched and nothing is ever compiled.
set -eu
cd "$(dirname "$0")/.."
lock=requirements/dev.lock
stamp=.venv/inos-setup

fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# Every Python here that will do, best first. One built with profile-guided optimisation, as distributions build theirs and
# version managers mostly do not, runs INOS a tenth to a seventh faster. A shim can stand in the PATH for a Python that is
# not there, so every candidate is run.
find_pythons() {
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else
        set -- python3 python3.13 python3.12 python3.11 /usr/bin/python3
    fi
    for candidate; do
        "$candidate" -c '
import sys, sysconfig
if (3, 11) <= sys.version_info < (3, 14):
    optimised = "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS")) or sys.base_prefix == "/usr"
    print(0 if optimised else 1, sys.executable)' 2>/dev/null || true
    done | sort -s -n -k 1,1 | cut -d ' ' -f 2- | awk '!seen[$0]++'
}

make_venv() {
    rm -rf .venv
    found=$(find_pythons)
    if command -v uv >/dev/null 2>&1 && uv venv --quiet --python "$(echo "${found:-3.12}" | head -n 1)" .venv; then
        return
    fi
    [ -n "$found" ] || fail "INOS needs Python 3.11, 3.12 or 3.13 and found none${PYTHON:+ in PYTHON=$PYTHON}." \
        "Install one (for example the packages python3.12 and python3.12-venv), or set PYTHON=/path/to/python3."
    # Some distributions leave out what makes an environment: then the next one.
    while read -r python; do
        "$python" -m venv .venv >/dev/null 2>&1 && return
        rm -rf .venv
    done <<EOF
$found
EOF
    fail "none of these can make a virtual environment; install a venv package (on Debian and Ubuntu: python3-venv):" \
        "$found"
}

# uv is quicker; pip is always there, and knows package sources that only pip is configured for.
with_uv=yes
install() {
    if [ "$with_uv" ] && uv pip install --quiet --python .venv/bin/python --no-deps "$@" 2>/dev/null; then
        return
    fi
    with_uv=
    .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip --upgrade >/dev/null
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps "$@" ||
        fail "installing failed; the lines above say why. Is the network reachable?"
}

# A moved or copied tree has a .venv that points elsewhere: the path is part of what must match.
locked="$(pwd) $(cksum <"$lock")"
project="$(cksum <pyproject.toml) $(cksum <scripts/setup.sh)"
if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$locked $project" ]; then
    exit 0
fi

case "$(cat "$stamp" 2>/dev/null)" in
"$locked "*) ;;
*)
    started=$(date +%s)
    echo "setup: installing the locked packages into .venv (once; a minute or two)"
    if ! [ "$(.venv/bin/python -c 'import sys; print(sys.prefix)' 2>/dev/null)" = "$(pwd -P)/.venv" ]; then
        make_venv
    fi
    rm -f "$stamp"
    install "$(grep '^setuptools==' "$lock")"
    install --no-build-isolation -r "$lock"
    echo "setup: packages ready in $(($(date +%s) - started)) s"
    ;;
esac
install --no-build-isolation --editable .
printf '%s' "$locked $project" >"$stamp"

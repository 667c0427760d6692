#!/bin/sh
# Runs every check even when an early one fails, so that one run shows everything there is to mend.
cd "$(dirname "$0")/.." || exit 1
py=.venv/bin/python
failed=
check() {
    name=$1
    shift
    printf '== %s\n' "$name"
    "$@" || failed="$failed $name"
}
check ruff $py -m ruff check .
check format $py -m ruff format --check .
check types $py -m mypy
# Tests and fuzzing: typed as well, but what has no types elsewhere is let through.
tests="fuzz crash tests"
[ ! -d bench ] || tests="$tests bench"
lenient="--no-warn-unused-ignores --no-warn-return-any --allow-untyped-calls --allow-untyped-decorators \
--ignore-missing-imports --implicit-reexport"
# shellcheck disable=SC2086
check test-types $py -m mypy $lenient --exclude 'tests/.+/conftest\.py$' $tests
# Every folder may have a conftest.py, and mypy wants module names to differ: one run each.
for conftest in tests/*/conftest.py; do
    # shellcheck disable=SC2086
    check "$conftest" $py -m mypy $lenient "$conftest"
done
check layers .venv/bin/lint-imports
check web sh scripts/web.sh check
[ -z "$failed" ] || { printf 'lint: failed:%s\n' "$failed" >&2; exit 1; }
echo 'lint: clean'

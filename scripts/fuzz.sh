#!/bin/sh
# Coverage-guided fuzzing of every decoder in fuzz/targets.py. Usage: fuzz.sh SECONDS [TARGET...]
set -eu
cd "$(dirname "$0")/.."
py=.venv/bin/python
seconds=$1
shift
if ! $py -c 'import atheris' 2>/dev/null; then
    echo 'fuzz: installing atheris'
    if ! { command -v uv >/dev/null 2>&1 &&
        uv pip install --quiet --python $py --no-deps --only-binary :all: -r requirements/fuzz.lock; } &&
        ! $py -m pip install --quiet --no-deps --only-binary :all: -r requirements/fuzz.lock; then
        echo "fuzz: atheris has no wheel for $($py -V) on this system; use Linux on x86-64 with Python 3.11 to 3.13." >&2
        exit 1
    fi
fi
[ $# -gt 0 ] || set -- $($py -m fuzz --list)
mkdir -p fuzz/crashes
for target; do
    mkdir -p "fuzz/corpus/$target"
    log="fuzz/crashes/$target.log"
    if ! $py -m fuzz "$target" "fuzz/corpus/$target" -max_total_time="$seconds" -max_len=70000 -timeout=10 \
        -rss_limit_mb=1024 -artifact_prefix="fuzz/crashes/$target-" -verbosity=0 -print_final_stats=1 >"$log" 2>&1; then
        grep -v '^INFO: Instrumenting' "$log" | tail -n 60 >&2
        echo "fuzz: $target failed; what it was fed lies in fuzz/crashes" >&2
        exit 1
    fi
    printf '%-50s %10s runs, nothing found\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
    rm -f "$log"
done

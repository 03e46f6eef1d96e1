#!/usr/bin/env bash
# All GPU checks and the speed benchmark in one command of at most 8 minutes. Each part is a separate process and writes
# its JSON file at once: an interrupted run keeps its figures. Without a GPU the checks run on the CPU and the benchmark is
# skipped. Time limits of the checks scale with SECONDS_IN_ALL, for a slow or busy machine.
# usage: [PYTHON=python3] [SECONDS_IN_ALL=480] bash benchmarks/gpu.sh FOLDER
set -u
cd "$(dirname "$0")/.."
out=${1:?usage: bash benchmarks/gpu.sh FOLDER}
python=${PYTHON:-python3}
budget=${SECONDS_IN_ALL:-480}
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 1
export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$PWD/src:$PWD/benchmarks" HF_HUB_OFFLINE=1
export SEENET_CACHE=${SEENET_CACHE:-$(mktemp -d)}
: > "$out/summary.txt"
failed=0

part() {  # NAME LIMIT COMMAND…: run a part within its limit and the remaining budget
    local name=$1 limit=$2 left=$((budget - SECONDS)) status
    shift 2
    if [ "$left" -lt 5 ]; then
        echo "$name: skipped, the $budget s are used up" | tee -a "$out/summary.txt"
        failed=1
        return
    fi
    timeout -k 5 "$((limit < left ? limit : left))" "$@" > "$out/$name.log" 2>&1
    status=$?
    if [ $status -eq 0 ]; then
        echo "$name: passed" | tee -a "$out/summary.txt"
    else
        failed=1
        [ $status -eq 124 ] && echo "stopped at its time limit" >> "$out/$name.log"
        echo "$name: FAILED (exit $status): $(tail -n 1 "$out/$name.log")" | tee -a "$out/summary.txt"
    fi
}

for check in environment loader augmentation masking precision resume waiting memory attention compilation; do
    limit=60
    case $check in attention) limit=90 ;; compilation) limit=150 ;; esac  # both compile
    part "check_$check" $((limit * budget / 480)) "$python" benchmarks/gpu_checks.py $check --results "$out"
done
if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    if "$python" -c 'import pytest' 2> /dev/null; then  # the slow tests are the checks above
        part tests_cuda 60 "$python" -m pytest -q -p no:cacheprovider -m "cuda and not slow" tests/test_cuda.py tests/data/test_loader.py
    else
        echo "tests_cuda: skipped, pytest is not installed (the checks above need none)" | tee -a "$out/summary.txt"
    fi
    left=$((budget - SECONDS))  # speed.py ends before its time limit
    part speed "$left" "$python" benchmarks/speed.py gpu --quick --results "$out" --seconds "$((left > 90 ? left - 60 : left / 3))"
else
    echo "tests_cuda: skipped, torch finds no GPU" | tee -a "$out/summary.txt"
    echo "speed: skipped, torch finds no GPU" | tee -a "$out/summary.txt"
fi
echo "figures: $out ($SECONDS s)"
exit $failed

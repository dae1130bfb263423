#!/usr/bin/env bash
# Fuzzes the parsers, guided by coverage, on stable Rust: run.sh [target|all] [seconds] [jobs].
#
# Inputs that reach new code are collected below FUZZ_WORK; what crashes, hangs or takes too much
# memory lies there too, as crash-*, timeout-* and oom-*. Small ones that matter go to corpus/ by hand.
set -euo pipefail
cd "$(dirname "$0")"
target=${1:-all}
seconds=${2:-60}
jobs=${3:-1}
triple=$(rustc -vV | sed -n 's/^host: //p')
work=${FUZZ_WORK:-${TMPDIR:-/tmp}/seawall-fuzz}
mkdir -p "$work"

# What cargo-fuzz would set, but for the address sanitizer, which needs a nightly compiler. With
# --target, build scripts and macros are left as they are.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
chosen=(--bins)
[ "$target" = all ] || chosen=(--bin "$target")
cargo build --quiet --locked -p seawall-fuzz --features libfuzzer,libfuzzer-sys/link_libfuzzer \
    --target "$triple" --target-dir "$work/target" "${chosen[@]}"

run() {
    mkdir -p "$work/$1"
    nice -n 10 "$work/target/$triple/debug/$1" "$work/$1" "corpus/$1" \
        -max_total_time="$seconds" -rss_limit_mb=512 -malloc_limit_mb=512 -timeout=5 \
        -max_len=16384 -artifact_prefix="$work/$1-" -print_final_stats=1 \
        2>"$work/$1.log" || true
    printf '%-20s %12s executions %s\n' "$1" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$1.log")" \
        "$(compgen -G "$work/$1-*-*" | tr '\n' ' ' || true)"
}
export -f run
export work triple seconds
if [ "$target" = all ]; then
    for path in fuzz_targets/*.rs; do basename "$path" .rs; done
else
    echo "$target"
fi | xargs -P "$jobs" -I{} bash -c 'run {}'

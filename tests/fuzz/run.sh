#!/bin/sh
# Runs every fuzzer for a while: run.sh BUILD SECONDS. What they learn stays in BUILD/corpus for the next run; an input that
# breaks something stays in BUILD/found, and the run fails.
set -eu
build=$1 each=$2
mkdir -p "$build/found" "$build/seeds"
# Their output is only needed once.
[ -n "$(ls "$build/seeds")" ] || "$build/tests/fuzz/media_mutations" --write-seeds "$build/seeds"
for subject in child_protocol engine_client planner; do
  mkdir -p "$build/corpus/$subject"
  set -- "$build/corpus/$subject"
  [ "$subject" != planner ] || set -- "$@" "$build/seeds"
  echo "fuzz_$subject for $each s"
  # Leaks are looked for at exit only: FFmpeg's caches would be found again and again.
  "$build/tests/fuzz/fuzz_$subject" -max_total_time="$each" -timeout=20 -rss_limit_mb=3000 -malloc_limit_mb=1500 -max_len=65536 \
    -print_final_stats=1 -artifact_prefix="$build/found/$subject-" "$@" 2>"$build/$subject.log" || {
    tail -n 40 "$build/$subject.log"
    echo "fuzz_$subject found something: $build/found" >&2
    exit 1
  }
  grep -E 'stat::(number_of_executed_units|average_exec_per_sec|peak_rss_mb)|DONE' "$build/$subject.log"
done

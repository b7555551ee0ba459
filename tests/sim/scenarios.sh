#!/bin/sh
# Every scenario over a few seeds: scenarios.sh LATHAM_SIM DIRECTORY SEEDS [MARKS]. Each passes, and each kind of fault bites.
# What none of them reached, nor what is in MARKS already, is listed at the end.
set -eu
sim=$1 directory=$2 seeds=$3
marks=$(mktemp)
trap 'rm -f "$marks"' EXIT
[ $# -lt 4 ] || cp "$4" "$marks"
failed=0
unreached=
for file in "$directory"/*.json; do
  if out=$("$sim" --scenario "$file" --seeds "$seeds" --must-bite --marks "$marks"); then
    printf '%s\n' "$out" | grep -E '^[0-9]+ seeds, |^faults' | sed "s|^|$(basename "$file" .json): |"
    unreached=$(printf '%s\n' "$out" | sed -n '/^marks reached/,$p')
  else
    printf '%s: FAILED\n%s\n' "$file" "$out"
    failed=1
  fi
done
[ $# -lt 4 ] || cp "$marks" "$4"
printf 'all scenarios: %s\n' "$unreached"
exit $failed

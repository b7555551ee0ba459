#!/bin/sh
# Every scenario over a few seeds: scenarios.sh LATHAM_SIM DIRECTORY SEEDS. Each passes, and each kind of fault bites.
set -eu
sim=$1 directory=$2 seeds=$3
failed=0
for file in "$directory"/*.json; do
  if out=$("$sim" --scenario "$file" --seeds "$seeds" --must-bite); then
    printf '%s\n' "$out" | grep -E 'seeds, |faults' | sed "s|^|$(basename "$file" .json): |"
  else
    printf '%s: FAILED\n%s\n' "$file" "$out"
    failed=1
  fi
done
exit $failed

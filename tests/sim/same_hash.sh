#!/bin/sh
# Same seed, same run: the trace hash agrees between processes, between runs of one batch and runs alone, whether the trace
# is kept or not, and between builds: every further argument is another latham-sim (of `make asan`, a debug build) that must
# agree if it is no older than the sources. Within a process: unit_sim.
set -eu
sim=$1
shift
root=$(cd "$(dirname "$0")/../.." && pwd)
others=
for other in "$@"; do
  [ -x "$other" ] || continue
  if [ -n "$(find "$root/core" "$root/store" "$root/actors" "$root/sim" -name '*.[ch]pp' -newer "$other" | head -n 1)" ]; then
    echo "$other is older than the sources; it is not compared"
    continue
  fi
  others="$others $other"
done
hash_of() { "$@" --json | sed 's/.*"hash":"\([0-9a-f]*\)".*/\1/'; }
together=$("$sim" --seed 1 --seeds 6 --jobs 2 --json | sed 's/.*"seed":\([0-9]*\),.*"hash":"\([0-9a-f]*\)".*/\1 \2/')
for seed in 1 2 3 4 5 6; do
  a=$(hash_of "$sim" --seed $seed)
  b=$(hash_of "$sim" --seed $seed)
  [ "${#a}" = 16 ] || { echo "seed $seed: no hash in the output: $a"; exit 1; }
  [ "$a" = "$b" ] || { echo "seed $seed: $a, then $b"; exit 1; }
  printf '%s\n' "$together" | grep -qx "$seed $a" || { echo "seed $seed: $a alone, and in a batch: $together"; exit 1; }
  [ "$a" != "${last:-}" ] || { echo "seeds $((seed - 1)) and $seed are the same run"; exit 1; }
  kept=$("$sim" --seed $seed --trace | sed -n 's/.*kept trace hash=\([0-9a-f]*\).*/\1/p')
  [ "$a" = "$kept" ] || { echo "seed $seed: $a, but $kept with its trace"; exit 1; }
  for other in $others; do
    c=$(hash_of "$other" --seed $seed)
    [ "$a" = "$c" ] || { echo "seed $seed: $a in $sim, $c in $other"; exit 1; }
  done
  last=$a
done
# A drawn plan, written out and given back, is the same run.
plan=$(mktemp)
trap 'rm -f "$plan"' EXIT
"$sim" --seed 7 --plan >"$plan"
[ "$(hash_of "$sim" --seed 7)" = "$(hash_of "$sim" --scenario "$plan")" ] || { echo "seed 7 is another run when its plan is given"; exit 1; }

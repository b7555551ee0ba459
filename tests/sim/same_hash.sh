#!/bin/sh
# Same seed, same run: the trace hash agrees between processes, and differs between seeds.
set -eu
sim=$1
hash_of() { "$sim" --seed "$1" --json | sed 's/.*"hash":"\([0-9a-f]*\)".*/\1/'; }
for seed in 1 2 3 4 5; do
  a=$(hash_of $seed)
  b=$(hash_of $seed)
  [ "${#a}" = 16 ] || { echo "seed $seed: no hash in the output: $a"; exit 1; }
  [ "$a" = "$b" ] || { echo "seed $seed: $a, then $b"; exit 1; }
  [ "$a" != "${last:-}" ] || { echo "seeds $((seed - 1)) and $seed are the same run"; exit 1; }
  last=$a
done

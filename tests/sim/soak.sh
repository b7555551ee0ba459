#!/bin/sh
# Many seeds on several cores: soak.sh LATHAM_SIM SEEDS JOBS. Each job takes blocks of 50 seeds; the first failure ends all.
set -eu
sim=$1 seeds=$2 jobs=$3
export sim
echo "latham-sim: $seeds seeds in blocks of 50 on $jobs cores"
seq 1 50 "$seeds" | xargs -P "$jobs" -I FIRST sh -c '"$sim" --seed FIRST --seeds 50 || exit 255' | awk -v all="$seeds" '
  /FAILED|repeat with/ { print; next }
  / seeds, / { done += $1; failed += $3; printf "\r%d of %d seeds, %d failed", done, all, failed > "/dev/stderr"; next }
  { print }
  END { print ""; printf "%d seeds, %d failed\n", done, failed; exit failed > 0 || done < all }'

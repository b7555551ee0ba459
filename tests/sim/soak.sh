#!/bin/sh
# Many seeds on several cores: soak.sh LATHAM_SIM SEEDS JOBS. Half of them are fresh: from the clock, which is printed. Only
# worlds in which much happened count.
set -eu
sim=$1 seeds=$2 jobs=$3
"$sim" --seed 1 --seeds $((seeds / 2)) --jobs "$jobs" --eventful --shrink
exec "$sim" --seed time --seeds $((seeds - seeds / 2)) --jobs "$jobs" --eventful --shrink

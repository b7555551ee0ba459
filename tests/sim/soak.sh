#!/bin/sh
# Many worlds on several cores: soak.sh LATHAM_SIM SEEDS MINUTES JOBS DIRECTORY. A third of them from seed 1, two thirds from the
# clock, which is printed; only worlds in which much happened count. Then each scenario of sim/scenarios, with a hundredth of
# the seeds. With MINUTES it goes on for so long, whatever SEEDS says, and ends with the seed that is running then.
# Stops at the first failure. What was said stays in DIRECTORY/soak.log, and what no world reached is at its end.
set -eu
sim=$1 seeds=$2 minutes=$3 jobs=$4 directory=$5
root=$(cd "$(dirname "$0")/../.." && pwd)
log=$directory/soak.log
marks=$directory/soak.marks
status=$directory/soak.status
rm -f "$marks" && : >"$marks"

worlds() { "$sim" --jobs "$jobs" --eventful --shrink --marks "$marks" "$@"; }
# In one chain: the shell does not stop at a failure in what is asked whether it failed.
free_draws() {
  if [ -n "$minutes" ]; then
    worlds --seed time --seeds 1000000000 --for $((minutes * 60))
  else
    worlds --seed 1 --seeds $((seeds / 3)) && worlds --seed time --seeds $((seeds - seeds / 3))
  fi
}
soak() { date && free_draws && "$root/tests/sim/scenarios.sh" "$sim" "$root/sim/scenarios" $((seeds / 100 + 6)) "$marks" && date; }
# What a pipe ends with is its last program's word.
{ soak && echo 0 >"$status" || echo 1 >"$status"; } | tee "$log"
exit "$(cat "$status")"

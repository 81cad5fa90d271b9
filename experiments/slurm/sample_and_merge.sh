#!/bin/bash
# A sample made by N tasks of a job array, then merged into one file: N, OUT, and what
# jaxcalo sample takes.
#   experiments/slurm/sample_and_merge.sh 100 samples/big.h5 RUN -n 10000000 --seed 1
# Each shower depends on the seed and its number alone: N changes nothing but the time.
set -euo pipefail
here=$(dirname "$0")
n=$1 out=$2
shift 2
parts=$out.parts
mkdir -p "$parts"
array=$(sbatch --parsable --array="0-$((n - 1))" "$here/sample.sbatch" "$n" "$parts" "$@")
sbatch --dependency="afterok:$array" "$here/merge.sbatch" "$out" "$parts"

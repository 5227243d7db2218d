#!/usr/bin/env bash
# SLURM: an array of 64 tasks, each with its share of the job.
#
#     sbatch scripts/pods/slurm_array.sh JOB.toml
#
# Untried on a cluster. Tested: SLURM's variables of tasks and arrays give the shares.
#SBATCH --job-name=causaljax
#SBATCH --array=0-63
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=04:00:00
# SIGTERM 60 s before the end: the fit in progress goes to disk, exit code 75.
#SBATCH --signal=TERM@60
#SBATCH --requeue
#SBATCH --open-mode=append
# For a GPU a task add: #SBATCH --gpus-per-task=1
set -uo pipefail

# Programs are compiled once for all tasks. The folder runs code: keep it your own.
export JAX_COMPILATION_CACHE_DIR="${HOME}/.cache/causaljax-array"
export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK}" OPENBLAS_NUM_THREADS="${SLURM_CPUS_PER_TASK}"

# exec would hide the code; srun passes SIGTERM on.
srun causaljax batch "$1"
code=$?
# 75: told to stop with its work kept. Queue this task of the array again.
if [ "$code" -eq 75 ]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
fi
exit "$code"

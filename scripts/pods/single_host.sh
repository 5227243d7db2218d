#!/usr/bin/env bash
# One machine: as many processes as there are cores, of one thread each.
#
#     scripts/pods/single_host.sh JOB.toml [PROCESSES]
#
# Tried on 2 cores. Ctrl-C or SIGTERM reach all processes; start again to go on.
set -euo pipefail
job=$1
count=${2:-$(nproc)}

# A thread each: many small fits side by side are faster than one fit on all cores.
export XLA_FLAGS="${XLA_FLAGS:-} --xla_cpu_multi_thread_eigen=false"
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

pids=()
trap 'kill -TERM "${pids[@]}" 2>/dev/null' TERM INT
for ((index = 0; index < count; index++)); do
    # taskset (Linux) binds a process to a core, and jax to as many threads.
    taskset -c "$((index % $(nproc)))" \
        causaljax batch "$job" --process "$index/$count" &
    pids+=($!)
done

code=0
for pid in "${pids[@]}"; do
    last=0
    wait "$pid" || last=$?
    while kill -0 "$pid" 2>/dev/null; do # a signal to the script ended the wait
        last=0
        wait "$pid" || last=$?
    done
    # The first code that is not 0 is that of the script: 75 means start again.
    ((code)) || code=$last
done
exit "$code"

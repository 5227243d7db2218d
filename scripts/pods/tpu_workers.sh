#!/usr/bin/env bash
# Cloud TPU VMs: the same command on every host of a slice.
#
#     scripts/pods/tpu_workers.sh TPU_NAME ZONE BUCKET_FOLDER_OR_DISK JOB.toml
#
# Untried. Tested: TPU_WORKER_ID with TPU_WORKER_HOSTNAMES gives the shares. Where a
# host's environment lacks them, --process says the share, as below.
set -euo pipefail
name=$1 zone=$2 shared=$3 job=$4

# The metadata server of a TPU VM tells the host its number and the number of hosts.
gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all --command="
    set -e
    ask() {
        curl -s -H 'Metadata-Flavor: Google' \
            http://metadata.google.internal/computeMetadata/v1/instance/attributes/\$1
    }
    index=\$(ask agent-worker-number)
    count=\$(ask worker-network-endpoints | tr ',' '\n' | wc -l)
    cd '$shared'  # a disk that all hosts see: inputs, results, compiled programs
    export JAX_COMPILATION_CACHE_DIR='$shared/cache'
    causaljax batch '$job' --process \"\$index/\$count\"
"

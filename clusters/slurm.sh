#!/bin/bash
# A sweep over the nodes of a Slurm allocation. The script starts Ray on them and stops it at the end. Run it from the
# project's folder; all nodes must see that folder and the store at the same path. docs/cluster.md walks through it.
#
#   sbatch clusters/slurm.sh search_spaces/digits_cnn.yaml --gpus 0.25     arguments as for `tune-app run`
#   sbatch --nodes 4 clusters/slurm.sh resume digits-cnn                   arguments as for `tune-app resume`
#
#SBATCH --job-name=tune-app
#SBATCH --output=%x-%j.log
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=1
#SBATCH --time=08:00:00
# Two minutes before the limit, only this script gets a signal and stops the sweep cleanly; `resume` continues it.
#SBATCH --signal=B:TERM@120

set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?start this with sbatch}"
PATH="$PWD/.venv/bin:$PATH"

readonly START_S=120
# Unique to this job, because others may run on the same nodes; every port not named here is any free one.
readonly PORT=$((20000 + SLURM_JOB_ID % 10000))
# Others can reach these nodes: Ray rejects anyone without this token. The job's steps inherit it.
RAY_AUTH_TOKEN="$(python -c 'import secrets; print(secrets.token_hex(32))')"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED=0
# Since Slurm 22.05, steps do not inherit this from the job.
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"

case "${1:-}" in
    "") echo "error: name a search space: sbatch clusters/slurm.sh search_spaces/digits_cnn.yaml" >&2; exit 2 ;;
    resume) verb=resume; shift ;;
    *) verb=run ;;
esac

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
readonly head="${nodes[0]}"  # where this script runs

ray_on() {  # NODE OPTION…: runs a Ray node there, as a step that replaces this process
    local node="$1"
    shift
    exec srun --nodes=1 --ntasks=1 --nodelist="$node" \
        ray start --block --num-cpus="$SRUN_CPUS_PER_TASK" --min-worker-port=0 --max-worker-port=0 \
        --dashboard-agent-listen-port=0 "$@" >"tune-app-$SLURM_JOB_ID-ray-$node.log" 2>&1
}

steps=()
sweep=""

# shellcheck disable=SC2317  # traps call it
end_ray() {
    trap - EXIT
    kill -TERM "${steps[@]}" 2>/dev/null || true  # srun passes it on to Ray
    wait
}

# shellcheck disable=SC2317
end_sweep() {
    test -n "$sweep" || exit 143
    kill -TERM "$sweep"
}

trap end_ray EXIT
trap end_sweep TERM INT

addresses="$(hostname -I)"
readonly address="${addresses%% *}:$PORT"
ray_on "$head" --head --port="$PORT" --ray-client-server-port=$((PORT + 10000)) --include-dashboard=false \
    --node-ip-address="${address%:*}" --temp-dir="${RAY_TMPDIR:-/tmp}/ray-$SLURM_JOB_ID" &
steps+=($!)
for node in "${nodes[@]:1}"; do
    ray_on "$node" --address="$address" &
    steps+=($!)
done

# If Ray does not start on a node, name the node now instead of missing it later.
python - "$address" "$START_S" "${nodes[@]}" <<'PYTHON'
import sys
import time

import ray

address, seconds, *nodes = sys.argv[1:]
deadline = time.monotonic() + float(seconds)
joined = []
while len(joined) < len(nodes) and time.monotonic() < deadline:
    time.sleep(1)
    try:
        ray.init(address, log_to_driver=False, logging_level="CRITICAL", ignore_reinit_error=True)
        joined = [node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]]
    except (ConnectionError, RuntimeError):
        continue  # the head is starting
if len(joined) < len(nodes):
    sys.exit(f"error: Ray must run on all of {', '.join(nodes)} within {seconds} s, but runs on {', '.join(joined) or 'none'}\n"
             "  tune-app-JOB-ray-NODE.log says why")
PYTHON

tune-app "$verb" "$@" --address "$address" &
sweep=$!
while true; do
    code=0
    wait "$sweep" || code=$?
    kill -0 "$sweep" 2>/dev/null || exit "$code"  # otherwise a signal interrupted the wait, not the sweep
done

#!/bin/sh
# isobath slurm on a real Slurm: a task is killed, a node goes down in mid-run, the driver itself is stopped and begun again; the result
# is that of isobath run, byte by byte. usage: slurm.sh ISOBATH CLIP
set -u
isobath=$(realpath "$1")
clip=$(realpath "$2")
here=$(dirname "$0")
. "$here/expect.sh"
. "$here/slurm_cluster.sh"
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $*"; }

why=$(slurm_missing)
if [ -n "$why" ]; then
    echo "SKIPPED: no Slurm to test with: $why (apt-get install slurm-wlm munge)"
    exit 77
fi
trap 'slurm_stop; rm -rf "$dir"' EXIT
slurm_start || { echo "FAILED: the cluster does not start"; exit 1; }

name=$(basename "${clip%.*}")
settings="--input-size 70 --format png16,npz,preview"
"$isobath" run "$clip" -o "$dir/run" $settings --devices cpu --precision fp32 --decoder software --threads 1 --quiet > /dev/null || bad "run"
same() {
    out=$(diff -rq "$dir/run" "$1" | grep -v -e 'isobath\.log\.jsonl' -e 'isobath\.status\.json')
    if [ -z "$out" ]; then ok; else bad "$2: $out"; fi
}
# A node that runs something.
busy_node() { squeue --noheader --states=R --format='%N' | head -1; }

expect 2 "one INPUT expected" "$isobath" slurm -o "$dir/x"
expect 2 "no output folder" "$isobath" slurm "$clip"
expect 2 "--nodes" "$isobath" slurm "$clip" -o "$dir/x" --nodes 0
expect 7 "sbatch refused" "$isobath" slurm "$clip" -o "$dir/x" $settings --max-frames 5 --partition nowhere

"$isobath" slurm "$clip" -o "$dir/out" $settings --nodes 4 --segments 7 --parts 3 --cpus-per-task 1 > "$dir/driver.log" 2>&1 &
driver=$!
tasks=$dir/out/${name}_isobath.tasks
waiting() { # COMMAND...: until it succeeds, at most 30 s
    for i in $(seq 300); do
        "$@" > /dev/null 2>&1 && return 0
        sleep 0.1
    done
    return 1
}
running_segment() { ls "$tasks"/segment_*.status.json && grep -l '"state": "running"' "$tasks"/segment_*.status.json; }
# the first task is killed outright
waiting running_segment || bad "no segment ever ran: $(cat "$dir/driver.log")"
file=$(grep -l '"state": "running"' "$tasks"/segment_*.status.json | head -1)
pid=$(sed -n 's/.*"pid": \([0-9]*\).*/\1/p' "$file")
kill -9 "$pid" && ok || bad "no task to kill"
gone() { ! kill -0 "$pid"; } # killed is not ended yet, on a busy machine
waiting gone || bad "process $pid does not end"
expect 1 "dead: process $pid" "$isobath" status "$file" # until the second try
# the driver goes away and comes back
kill "$driver"
wait "$driver"
[ $? = 10 ] && grep -q "the jobs go on" "$dir/driver.log" && ok || bad "driver: $(cat "$dir/driver.log")"
"$isobath" slurm "$clip" -o "$dir/out" $settings --nodes 4 --segments 7 --parts 3 --cpus-per-task 1 > "$dir/driver2.log" 2>&1 &
driver=$!
# a node goes down under its tasks
is_busy() { [ -n "$(busy_node)" ]; }
waiting is_busy
node=$(busy_node)
scontrol update nodename="$node" state=down reason=test && ok || bad "node $node"
# jobs are cancelled, so what depends on them will never run: the driver submits what is missing
scancel --name=isobath-render && ok || bad "no job to cancel"
wait "$driver" && ok || bad "driver: $(cat "$dir/driver2.log")"
grep -q "going on with the plan that is there" "$dir/driver2.log" && ok || bad "the second driver made a plan of its own"
grep -q "what is missing is submitted again" "$dir/driver2.log" && ok || bad "nothing was submitted again"
same "$dir/out" "after a killed task, a lost node, a cancelled job and another driver"
[ ! -e "$tasks" ] && [ ! -e "$dir/out/${name}_isobath.slurm" ] && ok || bad "the tasks' files stay: $(ls "$dir/out")"
expect 0 ": done" "$isobath" status "$dir/out"
sed 's/^/    /' "$dir/driver2.log"

echo "$passed passed, $failed failed"
[ $failed = 0 ]

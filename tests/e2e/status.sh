#!/bin/sh
# isobath status: a run that goes on, one that has ended, one that died; cards; text, JSON, Prometheus.
# usage: status.sh ISOBATH SYNTH FOLDER-OF-THE-FAKE-NVML
set -u
isobath=$1
synth=$2
fake=$3
here=$(dirname "$0")
. "$here/expect.sh"
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $*"; }
# wait_for TEXT COMMAND...: until its output has TEXT, at most 20 s
wait_for() {
    text=$1
    shift
    for i in $(seq 200); do
        "$@" 2>&1 | grep -qF -- "$text" && { ok; return; }
        sleep 0.1
    done
    bad "\"$text\" never came from: $*: $("$@" 2>&1)"
}

"$synth" tiny 1 "$dir/tiny.safetensors" || exit 1
frames() { # N frames of 32x16
    printf 'YUV4MPEG2 W32 H16 F25:1 Ip A1:1 C420jpeg\n'
    for i in $(seq "$1"); do
        printf 'FRAME\n'
        head -c 768 /dev/zero | tr '\0' "$((i % 10))"
    done
}
expect 3 "cannot read the folder" "$isobath" status "$dir/none"
mkdir "$dir/empty"
expect 3 "no run has left a status file" "$isobath" status "$dir/empty"
expect 2 "one folder expected" "$isobath" status
expect 2 "not both" "$isobath" status "$dir" --json --prometheus

# a run that waits for its input
mkfifo "$dir/pipe"
LD_LIBRARY_PATH=$fake${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$isobath" run - -o "$dir/live" --name "li\"ve" --model "$dir/tiny.safetensors" --input-size 28 \
    --devices cpu --format npz --quiet < "$dir/pipe" > "$dir/run.log" 2>&1 &
pid=$!
exec 3> "$dir/pipe"
frames 60 >&3
wait_for "46 frames" "$isobath" status "$dir/live"
expect 0 "li\"ve: running on $(hostname), process $pid" "$isobath" status "$dir/live"
expect 0 "frames/s (now " "$isobath" status "$dir/live"
expect 0 "device           frames  frames/s  busy" "$isobath" status "$dir/live"
expect 0 "busy: decode " "$isobath" status "$dir/live"
expect 0 "card 0 Fake H100 \"80GB\": 97% busy, 12.0 GiB of 80.0 GiB, 61 C, 412 W" "$isobath" status "$dir/live"
out=$("$isobath" status "$dir/live" | grep "card 1")
[ "$out" = "  card 1 Fake GTX 1660 Ti: 3% busy, 256 MiB of 6.00 GiB, 35 C" ] && ok || bad "second card: $out"
expect 0 '"power_w": null' "$isobath" status "$dir/live" --json
expect 0 '"state": "running"' "$isobath" status "$dir/live" --json
"$isobath" status "$dir/live" --prometheus > "$dir/prom" || bad "--prometheus"
awk -f "$here/prometheus.awk" "$dir/prom" || bad "not in the exposition format"
for sample in 'isobath_running{name="li\"ve",task="",host="'"$(hostname)"'"} 1' 'isobath_gpu_utilisation_ratio{' 'pci="0000:17:00.0"} 0.97' \
    'isobath_frames_done_total{' 'stage="network"} ' 'device="cpu"} '; do
    grep -qF -- "$sample" "$dir/prom" && ok || bad "no $sample"
done
# the reader of the format refuses what is none
sed '/^# TYPE isobath_done/d' "$dir/prom" | awk -f "$here/prometheus.awk" > /dev/null && bad "a missing TYPE was accepted" || ok
sed 's/ 1$/ one/' "$dir/prom" | awk -f "$here/prometheus.awk" > /dev/null && bad "a word as value was accepted" || ok
# another machine's run: alive while its file is fresh
file=$dir/live/$(ls "$dir/live" | grep status)
mkdir "$dir/far"
sed 's/"boot": "/"boot": "x/; s/"host": "[^"]*"/"host": "elsewhere"/' "$file" > "$dir/far/a_isobath.status.json"
expect 0 "running on elsewhere" "$isobath" status "$dir/far"
touch -d '-60 seconds' "$dir/far/a_isobath.status.json"
expect 1 "dead: process $pid on elsewhere is gone or silent, last heard of 1:00 ago" "$isobath" status "$dir/far"
# killed: dead at once
kill -9 $pid
wait $pid 2> /dev/null
expect 1 "dead: process $pid" "$isobath" status "$dir/live"
expect 1 "dead: process $pid" "$isobath" status "$dir/live" --follow
exec 3>&-
# a process of the same number that is another one
sed "s/\"pid\": [0-9]*/\"pid\": $$/" "$file" > "$dir/far/a_isobath.status.json"
expect 1 "dead" "$isobath" status "$dir/far"

# to the end, followed
frames 30 > "$dir/clip.y4m"
"$isobath" run "$dir/clip.y4m" -o "$dir/end" --model "$dir/tiny.safetensors" --input-size 28 --devices cpu --format npz --quiet > /dev/null || bad "run"
expect 0 "clip: done" "$isobath" status "$dir/end" --follow
expect 0 "30 of about 30 frames (100%)" "$isobath" status "$dir/end"
"$isobath" run "$dir/clip.y4m" -o "$dir/end" --model "$dir/tiny.safetensors" --input-size 28 --devices cpu --format npz --quiet > /dev/null 2>&1
expect 0 "clip: done" "$isobath" status "$dir/end" # a refused run leaves the status of the one before
# two inputs on two devices of one name: a line each, and no sample twice
cp "$dir/clip.y4m" "$dir/clip2.y4m"
"$isobath" run "$dir/clip.y4m" "$dir/clip2.y4m" -o "$dir/both" --model "$dir/tiny.safetensors" --input-size 28 --devices cpu,cpu --format npz --quiet > /dev/null || bad "batch"
expect 0 "clip: done, 30 frames in " "$isobath" status "$dir/both"
expect 0 "clip2: done, 30 frames in " "$isobath" status "$dir/both"
"$isobath" status "$dir/both" --prometheus > "$dir/prom" || bad "--prometheus of a batch"
awk -f "$here/prometheus.awk" "$dir/prom" || bad "of a batch: not in the exposition format"
grep -qF 'name="clip2",task="",host="'"$(hostname)"'",device="cpu#2"} ' "$dir/prom" && ok || bad "no second device"
# one that fails says why
head -c 3000 "$dir/clip.y4m" > "$dir/cut.y4m"
"$isobath" run "$dir/cut.y4m" -o "$dir/end" --model "$dir/tiny.safetensors" --input-size 28 --devices cpu --format npz --quiet > /dev/null 2>&1
expect 1 "cut: failed: $dir/cut.y4m: " "$isobath" status "$dir/end"
echo '{"format": "isobath-status-1", "state": 3}' > "$dir/far/a_isobath.status.json"
expect 3 "not a status file" "$isobath" status "$dir/far"

echo "$passed passed, $failed failed"
[ $failed = 0 ]

#!/bin/sh
# The whole way with what ships: the metric model over the sample clip, its tracks lifted, compared with the truth. The goal, which is
# asserted, is a median 3-D error under 20% of the distance: by itself, and with the camera's mean height (1.66 m) and pitch (4.5 degrees down).
# usage: track_nano.sh ISOBATH SAMPLE
set -u
isobath=$1
sample=$2
. "$(dirname "$0")/expect.sh"

# check NAME LIMIT: the median error of NAME's positions
check() {
    error=$(cat "$sample/walk_tracks.txt" "$dir/out/$1_mot_camera_metre.txt" | awk -F, '
        !(($1, $2) in z) { x[$1, $2] = $8; y[$1, $2] = $9; z[$1, $2] = $10; next } # the truth comes first
        $10 > 0 { a = $8 - x[$1, $2]; b = $9 - y[$1, $2]; c = $10 - z[$1, $2]
                  print sqrt((a * a + b * b + c * c) / (x[$1, $2] ^ 2 + y[$1, $2] ^ 2 + z[$1, $2] ^ 2)) }' | sort -g |
        awk '{ v[NR] = $1 } END { if (NR > 300) print v[int((NR + 1) / 2)] }')
    echo "median 3-D error of the metric nano model on the sample clip, $1: $error of the distance (goal 0.20)"
    awk "BEGIN { exit !(\"$error\" != \"\" && $error < $2) }" || { echo "FAILED: expected less than $2"; failed=$((failed + 1)); }
}

expect 0 "" "$isobath" run "$sample/walk.mp4" -o "$dir/depth" --model nano --metric --format npz --output-size model --quiet
t="$isobath track $dir/depth $sample/walk_tracks.txt -o $dir/out --camera $sample/walk_camera.jsonl --video-size 640x360 --fps 30 --format mot"
expect 0 "in camera coordinates, in metres" $t --name plain
check plain 0.20
expect 0 "" $t --name body --depth-at body
check body 1
expect 0 "scale     1/metres" $t --name with_height --camera-height 1.66 --pitch 4.5
check with_height 0.20

# a camera with another field of view: tan(30 deg) / tan(45 deg) = 0.5774 of the metres, in worker processes, too
small="--model nano --metric --max-frames 2 --input-size 98 --format npz --output-size model --quiet"
expect 0 "" "$isobath" run "$sample/walk.mp4" -o "$dir/a" $small
for devices in cpu cpu,cpu; do
    expect 0 "" "$isobath" run "$sample/walk.mp4" -o "$dir/$devices" $small --hfov 90 --devices $devices
    expect 0 "AbsRel 0.4226" "$isobath" eval "$dir/$devices" "$dir/a/walk_depths.npz"
done
expect 3 "outside of the truth's 160x90" "$isobath" eval "$dir/depth" "$sample/walk_depth.npz" --camera "$sample/walk_camera.jsonl"
expect 0 "TAE" "$isobath" eval "$dir/depth" "$sample/walk_depth.npz" --camera "$sample/walk_depth_camera.jsonl"
expect 2 "expected numbers above 0" "$isobath" eval "$dir/depth" "$sample/walk_depth.npz" --step -2
expect 2 "nano gives no metres" "$isobath" run "$sample/walk.mp4" -o "$dir/b" --hfov 90
expect 2 "expected degrees" "$isobath" run "$sample/walk.mp4" -o "$dir/b" --metric --hfov 190

echo "$passed passed, $failed failed"
[ $failed = 0 ]

#!/bin/sh
# Models that see one frame at a time, and programs of a user, cut into tasks, with --stabilize and without: the bytes of isobath run.
# usage: cluster_frames.sh ISOBATH SYNTH CLIP EXEC_MODEL
set -u
isobath=$1
synth=$2
clip=$3
program=$4
. "$(dirname "$0")/expect.sh"
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $*"; }

# same WANT GOT WHAT: every file as isobath run made it, but for those that hold times
same() {
    out=$(diff -rq "$1" "$2" | grep -v -e 'isobath\.log\.jsonl' -e 'isobath\.status\.json')
    if [ -z "$out" ]; then ok; else bad "$3: $out"; fi
}
# tasks FOLDER SEGMENTS: all of them, the last one first
tasks() {
    for i in $(seq $(($2 - 1)) -1 0); do "$isobath" work "$1" --segment "$i" --devices cpu --quiet || bad "$1: segment $i"; done
}
# merge FOLDER: what follows, in parts
merge() {
    "$isobath" merge "$1" --chain --quiet || bad "$1: chain"
    for i in 2 0 1; do "$isobath" merge "$1" --render "$i/3" --quiet || bad "$1: part $i"; done
    "$isobath" merge "$1" --finish --quiet > /dev/null || bad "$1: finish"
}

"$synth" v2-tiny 1 "$dir/depth_anything_v2_tiny.safetensors" || exit 1
"$synth" tiny 1 "$dir/tiny.safetensors" || exit 1
cp "$program" "$dir/program"
printf '40\n' > "$dir/cuts.txt"
common="--max-res 64 --format png16,exr,npz --cuts $dir/cuts.txt --quiet"

# 94 frames, a cut at 40: the second shot ends with a window that has no new frame. 100: it has.
for frames in 94 100; do
    for model in "$dir/depth_anything_v2_tiny.safetensors --input-size 28" "exec:'$dir/program' well"; do
        for stabilize in 0 0.5; do
            case $model in exec*) set -- --model "$model" ;; *) set -- --model ${model% --*} --input-size 28 ;; esac
            [ $stabilize = 0 ] || set -- "$@" --stabilize $stabilize
            what="$frames frames, $*"
            rm -rf "$dir/run" "$dir/a" "$dir/b"
            "$isobath" run "$clip" -o "$dir/run" "$@" $common --max-frames $frames --devices cpu --precision fp32 --decoder software > /dev/null || bad "run, $what"
            "$isobath" shard "$clip" -o "$dir/a" "$@" $common --max-frames $frames --segments 3 || bad "shard, $what"
            tasks "$dir/a" 3
            mv "$dir/program" "$dir/hidden" # what follows the segments runs no program
            cp -r "$dir/a" "$dir/b"
            "$isobath" merge "$dir/a" --quiet > /dev/null || bad "merge, $what"
            same "$dir/run" "$dir/a" "$what, at once"
            [ $frames = 100 ] && merge "$dir/b" && same "$dir/run" "$dir/b" "$what, in parts"
            mv "$dir/hidden" "$dir/program"
            [ $stabilize = 0 ] && mv "$dir/run" "$dir/plain"
        done
        cmp -s "$dir/run/walk_depths.npz" "$dir/plain/walk_depths.npz" && bad "--stabilize changes nothing, $what" || ok
        rm -rf "$dir/plain"
    done
done

# several processes for one segment, one window each; a program that has become another one
"$isobath" shard "$clip" -o "$dir/c" --model "exec:'$dir/program' well" --stabilize 0.5 $common --max-frames 100 --segments 99 || bad "shard, one window each"
for i in 0 1 2 3 4; do "$isobath" work "$dir/c" --segment $i --devices cpu,cpu,cpu --quiet || bad "segment $i of 5"; done
cp "$dir/program" "$dir/keep"
printf '#!/bin/sh\nexec "%s" metric\n' "$dir/keep" > "$dir/program"
expect 3 "not what was planned with" "$isobath" work "$dir/c" --segment 1 --again --devices cpu
printf '#!/bin/sh\necho out of paper >&2\nexit 5\n' > "$dir/program"
expect 4 "out of paper" "$isobath" work "$dir/c" --segment 1 --again --devices cpu
expect 4 "out of paper" "$isobath" shard "$clip" -o "$dir/d" --model "exec:'$dir/program'" $common
"$isobath" merge "$dir/c" --quiet > /dev/null || bad "merge of one window each"
same "$dir/run" "$dir/c" "one window each, three processes"
cp "$dir/keep" "$dir/program"

# a card as this process is shown it
seen="echo \$CUDA_VISIBLE_DEVICES > '$dir/seen'; exec '$dir/program' well"
for case in "5,7 cuda:1 7" "5,7 cuda:0 5" "GPU-0a,GPU-1b cuda:1 GPU-1b" " cuda:2 2"; do
    shown=${case%% *}
    rest=${case#* }
    CUDA_VISIBLE_DEVICES=$shown "$isobath" run "$clip" -o "$dir/cards" --model "exec:$seen" --devices "${rest% *}" $common --max-frames 1 --overwrite > /dev/null || bad "$case"
    [ "$(cat "$dir/seen")" = "${rest#* }" ] && ok || bad "$case: the program was shown $(cat "$dir/seen")"
done
expect 2 "consistent by itself" "$isobath" shard "$clip" -o "$dir/e" --model "$dir/tiny.safetensors" --stabilize 1
expect 2 "no command named" "$isobath" shard "$clip" -o "$dir/e" --model exec:

echo "$passed passed, $failed failed"
[ $failed = 0 ]

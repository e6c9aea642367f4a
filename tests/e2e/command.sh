#!/bin/sh
# The command as a person meets it: options, exit codes, one clear line per mistake. usage: command.sh ISOBATH SYNTH
set -u
isobath=$1
synth=$2
. "$(dirname "$0")/expect.sh"

"$synth" tiny 1 "$dir/tiny.safetensors" || exit 1
clip=$dir/clip.y4m # three grey frames of 32x16, made without any tool
{
    printf 'YUV4MPEG2 W32 H16 F25:1 Ip A1:1 C420jpeg\n'
    for i in 1 2 3; do
        printf 'FRAME\n'
        head -c 768 /dev/zero | tr '\0' "$((i + 3))"
    done
} > "$clip"

expect 0 "isobath run clip.mp4 -o out" "$isobath" --help
expect 2 "usage: isobath COMMAND" "$isobath"
expect 0 "isobath 0." "$isobath" --version
expect 2 "unknown command frobnicate" "$isobath" frobnicate
expect 0 "--max-frames N" "$isobath" run --help
expect 2 "no INPUT" "$isobath" run
expect 2 "no output folder" "$isobath" run "$clip"
expect 2 "unknown option --frob" "$isobath" run "$clip" -o "$dir/o" --frob
expect 2 "a whole number" "$isobath" run "$clip" -o "$dir/o" --max-frames many
expect 2 "an argument is missing after --max-frames" "$isobath" run "$clip" -o "$dir/o" --max-frames
expect 2 "expected auto, fp32, fp16 or bf16" "$isobath" run "$clip" -o "$dir/o" --model "$dir/tiny.safetensors" --precision fp8
expect 2 "--format gif: unknown format" "$isobath" run "$clip" -o "$dir/o" --model "$dir/tiny.safetensors" --format gif
expect 2 "needs metres" "$isobath" run "$clip" -o "$dir/o" --model "$dir/tiny.safetensors" --format ply
expect 2 "expected auto, or a list of cpu" "$isobath" run "$clip" -o "$dir/o" --model "$dir/tiny.safetensors" --devices tpu
# numbers at and beyond their borders
for bad in "--threads 100000" "--threads -1" "--segment-windows -1" "--exec-timeout -1" "--max-depth -2" "--range 0:inf" "--npz-level 10" \
    "--exr-compression x" "--device-memory 5" "--start-frame -1" "--end-frame -3"; do
    expect 2 "isobath run: " "$isobath" run "$clip" -o "$dir/border" --model "$dir/tiny.safetensors" --input-size 28 $bad
done
expect 2 "--device-memory 5: expected 800M|5.5G" "$isobath" run "$clip" -o "$dir/border" --device-memory 5
if [ ! -e "$dir/border" ]; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAILED: wrong options made a folder"; fi
expect 2 "--threads 5000: expected 0 (all) to 1024" "$isobath" check "$dir" --threads 5000
expect 0 "clip_isobath.json" "$isobath" run "$clip" -o"$dir/attached" -m"$dir/tiny.safetensors" --input-size 28 -j2 -fpng16
expect 2 "unknown option -qx" "$isobath" run "$clip" -o "$dir/border" -qx
expect 2 "$clip is no command; its depth: isobath run $clip -o out" "$isobath" "$clip"
mkdir "$dir/empty"
expect 3 "no videos and no images there" "$isobath" run "$dir/empty" -o "$dir/border"
expect 4 "a folder, not a file" "$isobath" run "$clip" -o "$dir/border" --model "$dir/empty"
# what is printed arrives, or the command says so; a reader that has seen enough is no error
expect 5 "cannot write to standard output: No space left on device" sh -c "'$isobath' models > /dev/full"
expect 5 "cannot write to standard output" sh -c "'$isobath' run '$clip' -o '$dir/border' --model '$dir/tiny.safetensors' --input-size 28 --json --overwrite > /dev/full"
expect 0 "said 0" sh -c "{ '$isobath' run '$clip' -o '$dir/border' --model '$dir/tiny.safetensors' --input-size 28 --json --overwrite; echo said \$? >&2; } | true"
expect 0 "said 0" sh -c "'$isobath' models >&-; echo said \$? >&2"
if command -v script > /dev/null; then # a terminal gives no video: waiting for it would be for ever
    expect 0 "standard input is a terminal" timeout 20 script -qc "'$isobath' run - -o '$dir/tty' --model '$dir/tiny.safetensors' --input-size 28" /dev/null
fi
# options that are wrong are told before anything is touched: an earlier result stays, and there is nothing to go on with
"$isobath" run "$clip" -o "$dir/kept" --model "$dir/tiny.safetensors" --input-size 28 --format png16,preview,exr -q > /dev/null
kept=$(find "$dir/kept" -type f -exec cat {} + | cksum)
for bad in "2 --colormap nope" "2 --exr-compression dwaa" "3 --cuts $dir/none.txt" "2 --start-number -1" "2 --name a/b"; do
    code=${bad%% *} bad=${bad#* }
    expect "$code" "" "$isobath" run "$clip" -o "$dir/kept" --model "$dir/tiny.safetensors" --input-size 28 --format png16,preview,exr --overwrite -q $bad
    expect 1 "0" sh -c "'$isobath' run '$clip' -o '$dir/kept' --model '$dir/tiny.safetensors' --input-size 28 --format png16,preview,exr --overwrite -q $bad 2>&1 | grep -c 'to go on'"
    [ "$kept" = "$(find "$dir/kept" -type f -exec cat {} + | cksum)" ] && passed=$((passed + 1)) || { echo "FAILED: $bad touched an earlier result"; failed=$((failed + 1)); }
done
for time in 1:99 1::5 : -1 1:2:3:4 nan inf; do expect 2 "expected a time" "$isobath" run "$clip" -o "$dir/late" --start=$time; done
expect 3 "no frames between --start and --end" "$isobath" run "$clip" -o "$dir/late" --model "$dir/tiny.safetensors" --input-size 28 --start 99
expect 1 "0" sh -c "'$isobath' run '$clip' -o '$dir/late' --model '$dir/tiny.safetensors' --input-size 28 --start 99 2>&1 | grep -c 'to go on'"
expect 0 '"source_size":[20,12]' "$isobath" run "$clip" -o "$dir/crop" --model "$dir/tiny.safetensors" --input-size 28 --crop 20x12+4+2 --json
expect 3 "missing.mp4" "$isobath" run "$dir/missing.mp4" -o "$dir/o" --model "$dir/tiny.safetensors"
expect 4 "no-such-model" "$isobath" run "$clip" -o "$dir/o" --model no-such-model
head -c 1000 "$dir/tiny.safetensors" > "$dir/cut.safetensors"
expect 4 "cut.safetensors" "$isobath" run "$clip" -o "$dir/o" --model "$dir/cut.safetensors"
expect 4 "cut.safetensors" "$isobath" info "$dir/cut.safetensors"
expect 0 "128" "$isobath" info "$dir/tiny.safetensors"
: > "$dir/file"
expect 5 "a file is in the way" "$isobath" run "$clip" -o "$dir/file/o" --model "$dir/tiny.safetensors" --input-size 28
expect 0 "clip_isobath.json" "$isobath" run "$clip" -o "$dir/o" --model "$dir/tiny.safetensors" --input-size 28 --format png16,npz
expect 8 "exists already" "$isobath" run "$clip" -o "$dir/o" --model "$dir/tiny.safetensors" --input-size 28 --format png16,npz
expect 0 '"event":"done"' "$isobath" run "$clip" -o "$dir/o2" --model "$dir/tiny.safetensors" --input-size 28 --json
# the reference's option names
expect 0 "clip_depths.npz" "$isobath" run --input_video "$clip" --output_dir "$dir/o3" --encoder "$dir/tiny.safetensors" --input_size 28 \
    --max_len -1 --target_fps -1 --fp32 --save_npz --grayscale
# guided upsampling: the same bytes with any number of threads, other bytes than without
for t in 1 3; do
    expect 0 "clip_depths.npz" "$isobath" run "$clip" -o "$dir/g$t" --model "$dir/tiny.safetensors" --input-size 28 --format npz --upsample guided --threads $t --output-size 50x40
done
expect 0 "same" sh -c "cmp $dir/g1/clip_depths.npz $dir/g3/clip_depths.npz && echo same"
expect 0 '"upsample": "guided"' cat "$dir/g1/clip_isobath.json"
expect 0 "clip_depths.npz" "$isobath" run "$clip" -o "$dir/g0" --model "$dir/tiny.safetensors" --input-size 28 --format npz --output-size 50x40
expect 1 "differ" cmp "$dir/g0/clip_depths.npz" "$dir/g1/clip_depths.npz"
expect 2 "--upsample nearest: expected bilinear or guided" "$isobath" run "$clip" -o "$dir/o" --model "$dir/tiny.safetensors" --upsample nearest
expect 2 "nothing to do with --output-size model" "$isobath" run "$clip" -o "$dir/o" --model "$dir/tiny.safetensors" --upsample guided --output-size model
# point clouds with the cameras of a file
for i in 0 1 2; do echo "{\"frame\": $i, \"fx\": 20, \"fy\": 20, \"cx\": $i, \"cy\": 8}"; done > "$dir/cameras.jsonl"
ply() {
    out=$dir/$1
    shift
    "$isobath" run "$clip" -o "$out" --model "$dir/tiny.safetensors" --metric --input-size 28 --format ply --overwrite "$@"
}
expect 0 "clip_points" ply p0
expect 0 "clip_points" ply p1 --camera "$dir/cameras.jsonl"
expect 1 "differ" cmp "$dir/p0/clip_points/point0001.ply" "$dir/p1/clip_points/point0001.ply"
expect 0 "clip_points" ply p3 --focal-length-x 470.4 --focal-length-y 470.4 # the default, by the reference's names
expect 0 "same" sh -c "cmp $dir/p0/clip_points/point0002.ply $dir/p3/clip_points/point0002.ply && echo same"
expect 0 "clip_points" ply p4 --focal-length-y 235
expect 1 "differ" cmp "$dir/p0/clip_points/point0001.ply" "$dir/p4/clip_points/point0001.ply"
head -n 2 "$dir/cameras.jsonl" > "$dir/two.jsonl"
expect 3 "no camera for frame 2" ply p2 --camera "$dir/two.jsonl"
expect 3 "none.jsonl: cannot open" ply p2 --camera "$dir/none.jsonl"
# stdin
out=$("$isobath" run - -o "$dir/o4" --name pipe --model "$dir/tiny.safetensors" --input-size 28 --format png16 2>&1 < "$clip")
if [ $? = 0 ] && [ "$(ls "$dir/o4/pipe_depths_png16" | grep -c png)" = 3 ]; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAILED: stdin: $out"; fi

# a stop: the first signal waits for what is in flight (here for a pipe that says nothing), the second does not; both say how to go on
{ cat "$clip"; sleep 4; } | "$isobath" run - -o "$dir/o 5" --name pipe --model "$dir/tiny.safetensors" --input-size 28 --format png16 2> "$dir/stop" &
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10; do [ -e "$dir/o 5/pipe_isobath.journal" ] && break; sleep 0.3; done
kill -TERM $pid
sleep 0.3
kill -TERM $pid
wait $pid
if [ $? = 143 ] && grep -q "stopping when the windows in flight are done (again: at once)" "$dir/stop" &&
    grep -q "^to go on: isobath run - -o '$dir/o 5' --name pipe .* --resume$" "$dir/stop"; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAILED: two signals: $(cat "$dir/stop")"; fi
expect 0 "pipe_depths_png16" sh -c '"$0" run - -o "$1" --name pipe --model "$2" --input-size 28 --format png16 --resume < "$3"' "$isobath" "$dir/o 5" "$dir/tiny.safetensors" "$clip"
expect 0 "pipe_depths_png16" sh -c '"$0" run - -o "$1" --name pipe --model "$2" --input-size 28 --format png16 --resume < "$3"' "$isobath" "$dir/o 5" "$dir/tiny.safetensors" "$clip"

echo "$passed passed, $failed failed"
[ $failed = 0 ]

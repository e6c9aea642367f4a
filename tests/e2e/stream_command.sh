#!/bin/sh
# `isobath stream` as a person meets it: options, exit codes, pipes. usage: stream_command.sh ISOBATH SYNTH
set -u
isobath=$1
synth=$2
. "$(dirname "$0")/expect.sh"

# bytes N COMMAND...: exactly N bytes on stdout
bytes() {
    want=$1
    shift
    got=$("$@" 2> /dev/null | wc -c)
    if [ "$got" -ne "$want" ]; then
        echo "FAILED: $*: $got bytes on stdout, expected $want"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
}

"$synth" tiny 1 "$dir/tiny.safetensors" || exit 1
clip=$dir/clip.y4m # three grey frames of 32x16, made without any tool
{
    printf 'YUV4MPEG2 W32 H16 F25:1 Ip A1:1 C420jpeg\n'
    for i in 1 2 3; do
        printf 'FRAME\n'
        head -c 768 /dev/zero | tr '\0' "$((i + 3))"
    done
} > "$clip"
model="--model $dir/tiny.safetensors --input-size 28 --devices cpu"

expect 0 "--when-slow" "$isobath" stream --help
expect 2 "no INPUT" "$isobath" stream
expect 2 "no output" "$isobath" stream "$clip"
expect 2 "f32|u16|y4m" "$isobath" stream "$clip" --pipe png
expect 2 "block|drop" "$isobath" stream "$clip" --pipe f32 --when-slow wait
expect 2 "both want stdout" "$isobath" stream "$clip" --pipe f32 --json
expect 2 "needs a folder" "$isobath" stream "$clip" --pipe f32 --format npz
expect 2 "do not come again" "$isobath" stream "$clip" -o "$dir/o" --resume
expect 2 "unknown option --cuts" "$isobath" stream "$clip" -o "$dir/o" --cuts auto
expect 2 "0 or more" "$isobath" stream "$clip" -o "$dir/o" --reconnect -1
expect 2 "needs metres" "$isobath" stream "$clip" -o "$dir/o" $model --format ply
expect 3 "missing.mp4" "$isobath" stream "$dir/missing.mp4" -o "$dir/o" $model
expect 4 "no-such-model" "$isobath" stream "$clip" -o "$dir/o" --model no-such-model
expect 0 "clip_isobath.json" "$isobath" stream "$clip" -o "$dir/o" $model --format png16,npz
expect 0 "clip, stream: done" "$isobath" status "$dir/o"
expect 8 "exists already" "$isobath" stream "$clip" -o "$dir/o" $model --format png16,npz
expect 0 '"latency_p99_ms"' "$isobath" stream "$clip" -o "$dir/o2" $model --format npz --json
expect 0 "ok" "$isobath" check "$dir/o"
# guided upsampling: other bytes than without, the same again, and the manifest says it
for g in g1 g2; do expect 0 "clip_isobath.json" "$isobath" stream "$clip" -o "$dir/$g" $model --format npz --upsample guided; done
expect 0 "same" sh -c "cmp $dir/g1/clip_depths.npz $dir/g2/clip_depths.npz && echo same"
expect 1 "differ" cmp "$dir/g1/clip_depths.npz" "$dir/o2/clip_depths.npz"
expect 0 '"upsample": "guided"' cat "$dir/g1/clip_isobath.json"
expect 0 "metres = (q + 0.5) * 0.001" sh -c "'$isobath' stream '$clip' --metric --pipe u16 $model > /dev/null"
bytes 6144 "$isobath" stream "$clip" --pipe f32 $model
bytes 3072 "$isobath" stream "$clip" --pipe u16 -q $model
bytes 6144 sh -c "cat '$clip' | '$isobath' stream - --pipe f32 $model"
bytes 4096 "$isobath" stream "$clip" --pipe f32 --max-frames 2 $model
# to look at: colours of the preview, 4:2:0, beside the source
bytes $((68 + 3 * (6 + 768))) "$isobath" stream "$clip" --pipe view $model
bytes $((68 + 3 * (6 + 1536))) "$isobath" stream "$clip" --pipe view --side-by-side $model
expect 0 "YUV4MPEG2 W64 H16 F25000:1000 Ip A1:1 C420mpeg2 XCOLORRANGE=LIMITED" sh -c "'$isobath' stream '$clip' --pipe view --side-by-side -q $model | head -n 1"
# frames come out while the source is still open: the first one before the second is sent (160x120: libav looks at the
# first 2048 bytes before it says what they are)
y4m_frame() {
    printf 'FRAME\n'
    head -c 28800 /dev/zero | tr '\0' "$1"
}
mkfifo "$dir/in" "$dir/out"
"$isobath" stream - --pipe f32 -q $model < "$dir/in" > "$dir/out" &
exec 3> "$dir/in" 4< "$dir/out"
{
    printf 'YUV4MPEG2 W160 H120 F25:1 Ip A1:1 C420jpeg\n'
    y4m_frame 4
} >&3
if [ "$(timeout 60 head -c 76800 <&4 | wc -c)" -ne 76800 ]; then
    echo "FAILED: the first frame did not come before the second was sent"
    failed=$((failed + 1))
fi
y4m_frame 5 >&3
exec 3>&-
[ "$(cat <&4 | wc -c)" -eq 76800 ] || { echo "FAILED: the second frame"; failed=$((failed + 1)); }
wait
# a pipe's reader that goes away (someone closes the player): the frames before that are a complete result
mkfifo "$dir/in2" "$dir/out2"
"$isobath" stream - -o "$dir/left" --name s --format npz --pipe f32 -q $model < "$dir/in2" > "$dir/out2" 2> "$dir/text" &
pid=$!
exec 3> "$dir/in2" 4< "$dir/out2"
{
    printf 'YUV4MPEG2 W160 H120 F25:1 Ip A1:1 C420jpeg\n'
    y4m_frame 4
} >&3
[ "$(timeout 60 head -c 76800 <&4 | wc -c)" = 76800 ] || { echo "FAILED: no frame before the reader went"; failed=$((failed + 1)); }
exec 4<&-
{
    y4m_frame 5
    y4m_frame 6
} >&3
exec 3>&-
wait $pid
code=$?
[ $code = 5 ] || { echo "FAILED: the reader is gone: exit $code: $(cat "$dir/text")"; failed=$((failed + 1)); }
expect 0 "the pipe's reader is gone after 1 frames: Broken pipe (the 1 frames before that are a complete result)" cat "$dir/text"
expect 0 "1 frames" "$isobath" check "$dir/left"
# a source that stalls: Ctrl-C ends the stream, and what there is is complete
mkfifo "$dir/stall"
"$isobath" stream - -o "$dir/stalled" --name s --format npz --pipe f32 -q $model < "$dir/stall" > "$dir/frames" 2> "$dir/text" &
pid=$!
exec 3> "$dir/stall"
{
    printf 'YUV4MPEG2 W160 H120 F25:1 Ip A1:1 C420jpeg\n'
    y4m_frame 4
    y4m_frame 5
} >&3
tries=0
while [ "$(wc -c < "$dir/frames")" -lt 153600 ] && [ $tries -lt 600 ]; do # both frames are out
    sleep 0.1
    tries=$((tries + 1))
done
kill -INT $pid
wait $pid
code=$?
[ $code = 0 ] || { echo "FAILED: a stalled source: exit $code: $(cat "$dir/text")"; failed=$((failed + 1)); }
exec 3>&-
expect 0 "2 frames" "$isobath" check "$dir/stalled"
echo "$passed passed, $failed failed"
[ $failed = 0 ]

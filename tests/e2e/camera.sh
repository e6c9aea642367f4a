#!/bin/sh
# `isobath stream /dev/video0` without a camera: camera/v4l2.c answers the system calls. usage: camera.sh ISOBATH SYNTH CAMERA FRAMES
set -u
isobath=$1
synth=$2
library=$3
. "$(dirname "$0")/expect.sh"

"$synth" tiny 1 "$dir/tiny.safetensors" || exit 1
mkdir "$dir/modes"
"$4" "$dir/modes" || exit 1
model="--model $dir/tiny.safetensors --input-size 28 --devices cpu"
log=$dir/log
result=$dir/result

# camera VARIABLE=VALUE... ISOBATH...: the command where there is such a camera
camera() {
    rm -f "$log"
    (limit=60 become "$@")
}
# libavdevice 59 forgets its list of buffers when STREAMON fails: no leak of ours
become() {
    case "$*" in *CAMERA_FAIL=STREAMON*) leaks=0 ;; *) leaks=1 ;; esac
    exec ${limit:+timeout $limit} env LD_PRELOAD="$library" ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0:detect_leaks=$leaks" \
        CAMERA_PATH=/dev/video0 CAMERA_FOLDER="$dir/modes" CAMERA_LOG="$log" "$@"
}
# same WHAT GOT WANTED
same() {
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        echo "FAILED: $1: $2, expected $3"
        failed=$((failed + 1))
    fi
}
# holds WHAT TEST...: `test TEST...`
holds() {
    what=$1
    shift
    if [ "$@" ]; then
        passed=$((passed + 1))
    else
        echo "FAILED: $what: $*"
        failed=$((failed + 1))
    fi
}
handed_out() { sed -n 's/^frame //p' "$log"; }
moments() { tr -d ' \n' < "$1" | sed 's/.*"times_us":\[\([^]]*\).*/\1/' | tr ',' '\n'; }

camera "$isobath" stream /dev/video0 --pipe f32 --max-frames 1 -q $model > /dev/null 2> "$dir/text" || case $(cat "$dir/text") in
    *"which does not load"*) echo "skipped: $(cat "$dir/text")"; exit 77 ;;
esac

# The depth of a camera's frames is that of the same frames out of a file, and their times are the driver's. What the driver
# handed out is in its log, so that a busy machine, where it loses frames, makes no difference.
for mode in yuyv422:160x120:30 yuyv422:320x240:10 mjpeg:320x240:30; do
    format=${mode%%:*} size=${mode#*:}
    fps=${size#*:} size=${size%:*} n=20
    [ $fps = 10 ] && n=6
    camera "$isobath" stream /dev/video0 -o "$result" --name c --format npz --overwrite --pipe f32 --when-slow block --max-frames $n -q $model \
        --video-size $size --input-format $format --framerate $fps > "$dir/camera.f32"
    same "$mode: exit" $? 0
    handed_out | head -n $n > "$dir/numbers"
    case $format in
    mjpeg) # all of them in order, or there is nothing to compare with
        seq 0 $((n - 1)) | cmp -s - "$dir/numbers" || { echo "note: the machine is too busy for $mode: not compared"; continue; }
        "$isobath" stream "$dir/modes/MJPG_$size" --pipe f32 --max-frames $n -q $model > "$dir/file.f32" ;;
    *)
        bytes=$((${size%x*} * ${size#*x} * 2))
        while read -r k; do tail -c +$((k % 60 * bytes + 1)) "$dir/modes/YUYV_$size" | head -c $bytes; done < "$dir/numbers" |
            "$isobath" stream - --raw $size:$format:$fps --pipe f32 -q $model > "$dir/file.f32" ;;
    esac
    same "$mode: bytes" "$(wc -c < "$dir/camera.f32")" $((n * ${size%x*} * ${size#*x} * 4))
    expect 0 same sh -c "cmp '$dir/camera.f32' '$dir/file.f32' && echo same"
    same "$mode: times" "$(moments "$result/c_isobath.json" | paste -d' ' - "$dir/numbers" |
        awk -v fps=$fps '{ if (NR == 1) first = $2; d = $1 - ($2 - first) * 1e6 / fps; if (d > 2 || d < -2) bad++ } END { print NR, bad + 0 }')" "$n 0"
    expect 0 "$n frames" "$isobath" check "$result"
done

# Modes: what it does not have is refused, with what it has.
for mode in "--video-size 640x480" "--input-format h264" "--input-format rgb24" "--framerate 60" "--raw 160x120:mjpeg"; do
    expect 3 "it does mjpeg 320x240 at 30; yuyv422 160x120 at 30, 320x240 at 30" camera "$isobath" stream /dev/video0 -o "$dir/no" $model $mode
done
expect 2 "a camera's mode is" camera "$isobath" stream /dev/video0 -o "$dir/no" $model --raw 160x120:yuyv422:fast
expect 2 "neither a pixel format" camera "$isobath" stream /dev/video0 -o "$dir/no" $model --input-format yuyv
expect 2 "one or the other" camera "$isobath" stream /dev/video0 -o "$dir/no" $model --raw ::30 --framerate 30
# What reads its input more than once says so, and does not wait for the end.
expect 2 "cannot be split" camera "$isobath" split /dev/video0 -o "$dir/no" --chunks 2
expect 2 "can be read once only" camera "$isobath" shard /dev/video0 -o "$dir/no" $model
# Devices that cannot be used: one line each, and nothing is made.
for fail in open:16 S_FMT:16 REQBUFS:16 STREAMON:16; do
    expect 3 "cannot open /dev/video0: Device or resource busy: another program uses this camera" \
        camera CAMERA_FAIL=$fail "$isobath" stream /dev/video0 -o "$dir/no" $model
done
expect 3 "group video" camera CAMERA_FAIL=open:13 "$isobath" stream /dev/video0 -o "$dir/no" $model
expect 3 "no room on the USB bus" camera CAMERA_FAIL=STREAMON:28 "$isobath" stream /dev/video0 -o "$dir/no" $model
expect 3 "captures no video" camera CAMERA_OUTPUT=1 "$isobath" stream /dev/video0 -o "$dir/no" $model
expect 3 "no camera" "$isobath" stream /dev/null -o "$dir/no" $model
expect 3 "cannot open /dev/video-none: No such file" camera "$isobath" stream /dev/video-none -o "$dir/no" $model
expect 3 "broke off after 0 frames" camera CAMERA_FAIL=DQBUF:5 "$isobath" stream /dev/video0 -o "$dir/no" $model
holds "nothing half-written" ! -e "$dir/no"

# Unplugged in mid-stream: one line, and the frames before that are a complete result.
expect 3 "/dev/video0: broke off after 20 frames: the camera gives no more: No such device (the 20 frames before that are a complete result)" \
    camera CAMERA_UNPLUG=20 "$isobath" stream /dev/video0 -o "$dir/gone" --when-slow block --format png16,npz $model -q
expect 0 "20 frames" "$isobath" check "$dir/gone"
expect 0 '"broke_off": "/dev/video0: broke off after 20 frames' cat "$dir/gone/video0_isobath.json"
# `run` reads cameras, too; what it says afterwards does not speak of --resume.
camera CAMERA_UNPLUG=5 "$isobath" run /dev/video0 -o "$dir/run" --format npz $model -q > /dev/null 2> "$dir/text"
same "run: exit, lines" "$? $(grep -c . "$dir/text")" "3 1"
expect 0 "20 frames" camera "$isobath" run /dev/video0 -o "$dir/run" --format npz --overwrite --max-frames 20 $model
# Plugged in again after half a second: the stream goes on, by the clock.
expect 0 "reconnected 1" camera CAMERA_UNPLUG=10:0.5 "$isobath" stream /dev/video0 -o "$dir/back" --when-slow block --format npz --max-frames 25 --reconnect 20 $model
same "times around the gap" "$(moments "$dir/back/video0_isobath.json" | awk '{ d = $1 - last; if (NR > 1 && d < 30000) bad++; if (d > 450000) gaps++; last = $1 }
    END { print NR, bad + 0, gaps + 0 }')" "25 0 1"
# A frame that the driver calls damaged is left out; a camera that stalls is waited for.
camera CAMERA_DAMAGED=5 CAMERA_STALL=8:0.5 "$isobath" stream /dev/video0 -o "$dir/stall" --when-slow block --format npz --max-frames 12 $model -q > /dev/null
same "a damaged frame, and a stall: exit" $? 0
same "their times" "$(moments "$dir/stall/video0_isobath.json" | awk '{ d = $1 - last; if (d > 60000 && d < 70000) skipped++; if (d > 450000) gaps++; last = $1 }
    END { print NR, skipped + 0, gaps + 0 }')" "12 1 1"

# With --stall it counts as broken off, and is opened again where that is asked for.
expect 3 "broke off after 6 frames: nothing came for 0.5 s (the 6 frames before that are a complete result)" \
    camera CAMERA_STALL=6:3600 "$isobath" stream /dev/video0 -o "$dir/silent" --when-slow block --format npz --stall 0.5 $model -q
expect 3 "nothing came for 0.5 s" camera CAMERA_STALL=0:3600 "$isobath" stream /dev/video0 -o "$dir/no" --stall 0.5 $model -q
expect 0 "reconnected 1" camera CAMERA_STALL=6:3600 "$isobath" stream /dev/video0 -o "$dir/again" --when-slow block --format npz --max-frames 10 --reconnect 20 --stall 0.5 $model

# A reader that takes 8 frames a second. By default frames are dropped, by us: the driver always has a buffer. With block it has not.
slow() {
    while dd bs=76800 count=1 iflag=fullblock 2> /dev/null | head -c 76800 > "$dir/frame" && [ -s "$dir/frame" ]; do sleep 0.125; done
}
camera CAMERA_BUFFERS=4 "$isobath" stream /dev/video0 -o "$dir/drop" --format npz --pipe f32 --end 1.5 $model 2> "$dir/text" | slow
dropped=$(sed -n 's/.*dropped \([0-9]*\).*/\1/p' "$dir/text" | tail -n 1)
frames=$(moments "$dir/drop/video0_isobath.json" | grep -c .)
holds "dropped" "$dropped" -ge 10
holds "not all" "$frames" -ge 5 -a "$frames" -le 30
same "frames in between are counted" $((frames + dropped)) "$(handed_out | awk '$1 < 45' | wc -l)"
camera CAMERA_BUFFERS=4 "$isobath" stream /dev/video0 --pipe f32 --when-slow block --max-frames 12 $model 2> "$dir/text" | slow
expect 0 "dropped 0" cat "$dir/text"
holds "lost by the driver" "$(grep -c '^lost' "$log")" -ge 10

# Ctrl-C while the camera stalls.
: > "$dir/frames"
(become CAMERA_STALL=6:3600 "$isobath" stream /dev/video0 -o "$dir/stopped" --format npz --pipe f32 --when-slow block -q $model) > "$dir/frames" 2> "$dir/text" &
tries=0
while [ "$(wc -c < "$dir/frames")" -lt $((6 * 76800)) ] && [ $tries -lt 300 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -INT $!
wait $!
same "Ctrl-C in a stall: exit" $? 0
expect 0 "6 frames" "$isobath" check "$dir/stopped"
echo "$passed passed, $failed failed"
[ $failed = 0 ]

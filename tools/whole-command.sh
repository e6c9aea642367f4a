#!/bin/bash
# The speed of the whole command on a card: an H.264 file to 16-bit PNG files on a memory-backed disk, decoder by decoder, and the
# files against each other and (a short piece, fp32) against the CPU's. Needs the built programs isobath and isobath_synth.
# usage: tools/whole-command.sh BUILD_DIR [CLIP]    MODELS="vits vitl" CORES=0-15 DEVICE=cuda:0 FRAMES=6400 LARGE_FRAMES=3200 REPEAT=16 CAP=1100M vary it
# A CLIP of raw H.264 (ffmpeg -i clip.mp4 -c copy -bsf:v h264_mp4toannexb clip.h264) is put behind itself REPEAT times; it has no times,
# so that one session decodes it. Without CLIP one of 200 frames is made by compare_decoders (REPEAT=32), else one of 220, which is enough to
# compare files and too short for a rate. With vitl among MODELS, also its run within 5.5 GiB of the card (LARGE_CAP=no leaves it out). Exits non-zero when
# files differ that must not, or the card holds more than it may.
set -u
build=${1:?usage: tools/whole-command.sh BUILD_DIR [CLIP]}
clip=${2:-}
device=${DEVICE:-cuda:0}
card=$(echo "${CUDA_VISIBLE_DEVICES:-0,1,2,3,4,5,6,7}" | cut -d, -f$((${device#cuda:} + 1))) # as nvidia-smi counts
work=$(mktemp -d /dev/shm/isobath-speed-XXXXXX) || exit 1
trap 'rm -rf "$work"' EXIT
find_program() { find "$build" -name "$1" -type f -perm -u+x | head -n 1; }
isobath=$(find_program isobath)
synth=$(find_program isobath_synth)
[ -n "$isobath" ] && [ -n "$synth" ] || { echo "whole-command: isobath and isobath_synth are not in $build" >&2; exit 1; }
pin=
[ -n "${CORES:-}" ] && pin="taskset -c $CORES"
failed=0
TIMEFORMAT="%U %S"

compare=$(find_program compare_decoders)
if [ -z "$clip" ] && [ -n "$compare" ] && "$compare" --clip "$work/made.h264" 200 > /dev/null; then clip=$work/made.h264 REPEAT=${REPEAT:-32}; fi
if [ -z "$clip" ]; then
    "$synth" frames 1 - 220 720 1280 | "$isobath" run - --raw 1280x720:rgb24:25 -o "$work/made" --name made --devices null \
        --format src --model "$(ls "$(dirname "$0")"/../assets/models/*.safetensors | head -n 1)" -q > /dev/null || exit 1
    clip=$work/made/made_src.mp4
fi

# The value of a number in the last JSON line that has it.
number() { grep -o "\"$2\": *-\?[0-9.e+-]*" "$1" | tail -n 1 | sed 's/.*: *//'; }
# Most memory of the card (MiB, all processes) until the file $1 is gone.
watch_card() {
    local most=0 now
    while [ -e "$1" ]; do
        now=$(nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -i "$card" 2> /dev/null)
        [ "${now:-0}" -gt "$most" ] 2> /dev/null && most=$now
        sleep 0.2
    done
    echo "$most" > "$1.most"
}

# run NAME ARGUMENTS...: one run, one line.
run() {
    local name=$1 start end
    shift
    touch "$work/running"
    watch_card "$work/running" &
    start=$(date +%s%N)
    { time $pin "$isobath" run "$@" -o "$work/$name" --name out --overwrite --json > "$work/$name.log" 2>&1; } 2> "$work/time"
    local rc=$?
    end=$(date +%s%N)
    rm -f "$work/running"
    wait
    if [ $rc != 0 ]; then
        printf '%-34s FAILED: %s\n' "$name" "$(tail -n 1 "$work/$name.log")"
        failed=1
        return
    fi
    local done_frames elapsed
    done_frames=$(number "$work/$name.log" frames_done)
    elapsed=$(number "$work/$name.log" elapsed_s)
    awk -v name="$name" -v n="$done_frames" -v s="$elapsed" -v whole=$((end - start)) -v d="$(number "$work/$name.log" decode)" \
        -v net="$(number "$work/$name.log" network)" -v a="$(number "$work/$name.log" align)" \
        -v w="$(number "$work/$name.log" write)" -v card="$(cat "$work/running.most")" -v cpu="$(cat "$work/time")" 'BEGIN {
        split(cpu, t, " ")
        printf "%-26s %5d frames %7.1f frames/s (%.1f from start to end of the process)  busy: decode %.0f%% network %.0f%% align %.0f%% write %.0f%%  processor %.1f ms a frame, %.1f of it in the kernel  card %s MiB\n",
            name, n, n / s, n / (whole * 1e-9), 100 * d, 100 * net, 100 * a, 100 * w, 1000 * (t[1] + t[2]) / n, 1000 * t[2] / n, card }'
}

same() {
    if diff -rq "$work/$1/out_depths_png16" "$work/$2/out_depths_png16" > /dev/null; then echo "ok    $1 and $2: equal files"
    else echo "FAIL  $1 and $2: files differ"; failed=1; fi
}

# Raw H.264, again and again, is a video too.
long=$clip
case $clip in
*.h264)
    long=$work/long.h264
    for _ in $(seq "${REPEAT:-16}"); do cat "$clip"; done > "$long"
    ;;
esac

MODELS=${MODELS:-vits}
for model in $MODELS; do
    "$synth" "$model" 1 "$work/$model.safetensors" || exit 1
    common="--model $work/$model.safetensors --format png16 --devices $device"
    [ "$model" = vitl ] && frames=${LARGE_FRAMES:-3200} || frames=${FRAMES:-6400}
    for decoder in auto software; do
        run "$model-fp16-$decoder" "$long" $common --precision fp16 --decoder $decoder --max-frames "$frames"
        [ "$model" = "${MODELS%% *}" ] || break # the decoders are compared once
    done
    [ -d "$work/$model-fp16-software" ] && same "$model-fp16-software" "$model-fp16-auto"
    rm -rf "$work/$model-fp16-software" "$work/$model-fp16-auto"
done

# Results by value: an overflowing checkpoint (fp16 alone would give NaN) against its own fp32, whole and within a memory cap that
# does not hold both networks; and fp32 and fp16 on the card against fp32 on the CPU.
case " $MODELS ${LARGE_CAP:-}" in
*" no") ;;
*" vitl "*)
    "$synth" vitl-overflow 1 "$work/overflow-l.safetensors" || exit 1
    large="$clip --format png16 --max-frames 40 --devices $device --model $work/overflow-l.safetensors"
    run vitl-overflow-5.5GiB $large --precision fp16 --device-memory 5.5G
    most=$(cat "$work/running.most")
    if [ "$most" -le 5632 ]; then echo "ok    vitl-overflow-5.5GiB: $most MiB of the card at most"
    else echo "FAIL  vitl-overflow-5.5GiB: $most MiB of the card, 5632 allowed"; failed=1; fi
    run vitl-overflow-fp32 $large --precision fp32
    same vitl-overflow-5.5GiB vitl-overflow-fp32
    rm -rf "$work/vitl-overflow-5.5GiB" "$work/vitl-overflow-fp32" "$work/overflow-l.safetensors"
    ;;
esac
compare=$(find_program compare_depth)
against() { # NAME OTHER MEDIAN P9999 WORST
    local line
    line=$("$compare" "$work/$1/out_depths_png16" "$work/$2/out_depths_png16" "$3" "$4" "$5" 2>&1) && echo "ok    $1 and $2: $line" ||
        { echo "FAIL  $1 and $2: $line"; failed=1; }
}
model=${MODELS%% *}
"$synth" "$model-overflow" 1 "$work/overflow.safetensors" || exit 1
short="$clip --format png16 --max-frames 44 --input-size 280"
run card-fp32 $short --model "$work/$model.safetensors" --devices "$device" --precision fp32
run card-fp16 $short --model "$work/$model.safetensors" --devices "$device" --precision fp16
run cpu-fp32 $short --model "$work/$model.safetensors" --devices cpu --precision fp32
run overflow-fp32 $short --model "$work/overflow.safetensors" --devices "$device" --precision fp32
run overflow-fp16 $short --model "$work/overflow.safetensors" --devices "$device" --precision fp16
run overflow-fp16-capped $short --model "$work/overflow.safetensors" --devices "$device" --precision fp16 --device-memory "${CAP:-1100M}" # one VDA-S network at this size, not two
same overflow-fp16 overflow-fp32
same overflow-fp16-capped overflow-fp32
if [ -n "$compare" ]; then
    against card-fp32 cpu-fp32 1e-4 1e-3 5e-3 # steps of 16 bits and edges moved by the upsampling of rounded values
    against card-fp16 cpu-fp32 1e-3 6e-3 2e-2
fi
exit $failed

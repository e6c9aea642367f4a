#!/bin/sh
# The commands around a run: convert, doctor, bench, help. usage: tools.sh ISOBATH SYNTH
set -u
isobath=$1
synth=$2
. "$(dirname "$0")/expect.sh"

model=$dir/tiny.safetensors
"$synth" tiny 1 "$model" || exit 1
clip=$dir/clip.y4m # three frames of 32x16, made without any tool
{
    printf 'YUV4MPEG2 W32 H16 F25:1 Ip A1:1 C420jpeg\n'
    for i in 1 2 3; do
        printf 'FRAME\n'
        head -c 768 /dev/zero | tr '\0' "$((i + 3))"
    done
} > "$clip"

expect 0 "--dtype T" "$isobath" help convert
expect 2 "unknown command frob" "$isobath" help frob
expect 0 "SH OPTIONS" "$isobath" help --man doctor

expect 2 "expected MODEL and OUT" "$isobath" convert "$model"
expect 0 "half.safetensors" "$isobath" convert "$model" "$dir/half.safetensors" --dtype f16
expect 8 "exists already" "$isobath" convert "$model" "$dir/half.safetensors"
expect 0 "half.safetensors" "$isobath" convert "$model" "$dir/half.safetensors" --overwrite
expect 2 "expected f32, f16 or bf16" "$isobath" convert "$model" "$dir/x.safetensors" --dtype int8
expect 4 "missing.pth" "$isobath" convert "$dir/missing.pth" "$dir/x.safetensors"
expect 0 "clip_isobath.json" "$isobath" run "$clip" -o "$dir/o" --model "$dir/half.safetensors" --input-size 28 --format npz

expect 0 "selftest cpu fp32" "$isobath" doctor "$clip" --model "$model" --input-size 28 --devices cpu --seconds 0.5
expect 0 '"decoder": "rawvideo' "$isobath" doctor "$clip" --model "$model" --input-size 28 --devices cpu --seconds 0.5 --json
expect 3 "missing.mp4" "$isobath" doctor "$dir/missing.mp4" --model "$model"
expect 4 "missing.pth" "$isobath" doctor "$clip" --model "$dir/missing.pth"
expect 2 "a pipe can be read only once" "$isobath" doctor - --model "$model"
expect 2 "device tpu" "$isobath" doctor "$clip" --model "$model" --devices tpu

expect 0 "whole run: 3 frames" "$isobath" bench --model "$model" --size 64x48 --input-size 28 --seconds 0.1 --input "$clip" --output "$dir/b"
expect 0 '"frames_per_s"' "$isobath" bench --model "$model" --size 64x48,48x64 --input-size 28 --seconds 0.1 --json
expect 0 "computes in f32 or bf16" "$isobath" bench --model "$model" --size 64x48 --precision fp16
expect 2 "expected WIDTHxHEIGHT" "$isobath" bench --model "$model" --size big
expect 2 "belong together" "$isobath" bench --input "$clip"
expect 2 "precision fp8" "$isobath" bench --model "$model" --precision fp8

echo "$passed passed, $failed failed"
[ $failed = 0 ]

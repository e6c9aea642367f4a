#!/bin/sh
# make demo: runs the main job on the sample clip that ships in the repo and says where the results are.
set -eu
build=$1
root=$(cd "$(dirname "$0")/.." && pwd)
out=$root/demo-out
model=$root/assets/models/nano.safetensors
if [ ! -f "$model" ]; then
    model=$build/synthetic.safetensors
    [ -f "$model" ] || "$build/tests/isobath_synth" tiny 1 "$model"
    echo "isobath: no trained model in this checkout: the demo uses a SYNTHETIC checkpoint (random weights), so the picture"
    echo "isobath: shows that everything runs, not depth. Use --model with an official checkpoint for depth."
    size="--input-size 98"
fi
"$build/isobath" run "$root/assets/sample/walk.mp4" -o "$out" --model "$model" ${size-} --format png16,npz,preview --overwrite
"$build/isobath" check "$out"
if [ -f "$root/assets/sample/walk_depth.npz" ] && [ -z "${size-}" ]; then
    "$build/isobath" eval "$out/walk_depths.npz" "$root/assets/sample/walk_depth.npz" --camera "$root/assets/sample/walk_depth_camera.jsonl" || true
fi
echo "preview: $out/walk_vis.mp4"
echo "depth:   $out/walk_depths_png16/ (16-bit PNG, one scale) and $out/walk_depths.npz"

#!/bin/sh
# isobath split and join as a person meets them. usage: join.sh ISOBATH SAMPLE_FOLDER
set -u
isobath=$1
sample=$2
. "$(dirname "$0")/expect.sh"

clip=$sample/walk.mp4
expect 0 "--chunk-frames N" "$isobath" split --help
expect 0 "--per-frame HOW" "$isobath" join --help
expect 2 "INPUT and -o FOLDER expected" "$isobath" split "$clip"
expect 2 "expected --chunks or --chunk-frames" "$isobath" split "$clip" -o "$dir/c"
expect 3 "none.mp4" "$isobath" split "$dir/none.mp4" -o "$dir/c" --chunks 2
[ -e "$dir/c" ] && { echo "FAILED: a mistake left a folder"; failed=$((failed + 1)); }
expect 0 "frames    150, in 3 chunks with 182 frames" "$isobath" split "$clip" -o "$dir/c" --chunks 3 --overlap 16
expect 8 "exists already" "$isobath" split "$clip" -o "$dir/c" --chunks 3 --overlap 16
expect 0 "in 3 chunks" "$isobath" split "$clip" -o "$dir/c" --chunks 3 --overlap 16 --overwrite
expect 2 "PLAN and -o FOLDER expected" "$isobath" join "$dir/c/walk_split.json"
expect 2 "does not say where the depth of chunk 0 is" "$isobath" join "$dir/c/walk_split.json" -o "$dir/out"
expect 2 "3 chunks, but 1" "$isobath" join "$dir/c/walk_split.json" "$dir/c" -o "$dir/out"

# any depth tool: here our own on each chunk, its first frames in a scale of their own
for k in 0 1 2; do
    expect 0 "" "$isobath" run "$dir/c/walk_chunk_00$k.mp4" -o "$dir/d" --input-size 98 --output-size model --format npz,exr,png16 --quiet
done
d=$dir/d/walk_chunk_00
expect 0 "frames    150, from 3 chunks with 182" "$isobath" join "$dir/c/walk_split.json" ${d}0_depths.npz ${d}1_depths_png16 ${d}2_depths_exr -o "$dir/out" \
    --format png16,npz,ffv1,preview
expect 0 "150 frames" "$isobath" check "$dir/out"
expect 8 "exists already" "$isobath" join "$dir/c/walk_split.json" ${d}0_depths.npz ${d}1_depths.npz ${d}2_depths.npz -o "$dir/out"
# the depth of something else: a quarter of the picture
expect 0 "" "$isobath" run "$dir/c/walk_chunk_001.mp4" -o "$dir/e" --crop 320x180+0+0 --input-size 98 --output-size model --format npz --quiet
expect 3 "do not agree where they overlap" "$isobath" join "$dir/c/walk_split.json" ${d}0_depths.npz "$dir/e/walk_chunk_001_depths.npz" ${d}2_depths.npz -o "$dir/bad"
expect 3 "a video of yuv420p pictures" "$isobath" join "$dir/c/walk_split.json" "$dir/out/walk_vis.mp4" ${d}1_depths.npz ${d}2_depths.npz -o "$dir/bad"
expect 2 "--input-scale furlong" "$isobath" join "$dir/c/walk_split.json" ${d}0_depths.npz ${d}1_depths.npz ${d}2_depths.npz -o "$dir/bad" --input-scale furlong
[ -e "$dir/bad" ] && { echo "FAILED: a mistake left a folder"; failed=$((failed + 1)); }

echo "$passed passed, $failed failed"
[ $failed = 0 ]

#!/bin/sh
# What README.md's "Common uses" says to type, typed on the sample clip, as far as it needs no network, card, cluster, Python or published
# checkpoint; on few frames and in small. usage: readme.sh ISOBATH SOURCE
set -u
isobath=$1
source=$2
. "$(dirname "$0")/expect.sh"
mkdir "$dir/bin" "$dir/clips"
ln -s "$isobath" "$dir/bin/isobath"
PATH=$dir/bin:$PATH
cd "$dir" || exit 1
for name in clip film clips/scene; do cp "$source/assets/sample/walk.mp4" $name.mp4; done
cp "$source/assets/sample/walk_tracks.txt" tracks.txt
cp "$source/assets/sample/walk_depth.npz" truth.npz
cp "$source/assets/models/nano.safetensors" model.pth # known by its content
expect 0 "" isobath run clip.mp4 -o full --format png16,npz --input-size 28 --npz-level 0 -q # what other commands read
mkdir frames && cp full/clip_depths_png16/frame_0000[1-9].png frames
for name in frames/frame_*; do mv $name frames/${name##*_}; done

sed -n '/^## Common uses/,/^## /s/^isobath /&/p' "$source/README.md" > commands
while IFS= read -r line; do
    few=
    case $line in
    *rtsp:*|*depth_anything*|*cuda:*|*" slurm "*|*exec:*|*1:00:00*) continue ;;
    "isobath run "*|"isobath stream "*) few="--input-size 28 --max-frames 8" ;;
    "isobath doctor "*|"isobath bench "*) few="--seconds 0.1 --input-size 28" ;;
    "isobath join "*) for i in 0 1 2; do expect 0 "" isobath run chunks/clip_chunk_00$i.mp4 -o d$i --input-size 70 --output-size 64x36 -q; done ;;
    esac
    rm -rf out
    [ "$few" ] || cp -r full out
    expect 0 "" sh -c "${line%%#*} $few"
done < commands
[ $passed -ge 22 ] || { echo "FAILED: only $passed commands were found"; failed=$((failed + 1)); }

# options that the documents name are options (of isobath, or of the other programs here)
for command in run stream shard work merge slurm split join track check eval status doctor models info convert bench; do isobath $command --help; done |
    grep -oE -- '--[a-z][a-z0-9-]+' > options
printf -- '--%s\n' enable-gpl requeue gpus list-devices backend bench build ready reference steps device isobath >> options
for file in README ARCHITECTURE CLUSTER EXEC FORMATS JOIN MEDIA MODEL STREAM TESTING TRACKS TROUBLESHOOTING; do
    path=$source/docs/$file.md
    [ $file = README ] && path=$source/README.md
    for option in $(grep -oE -- '--[a-z][a-z0-9-]+[a-z0-9]' "$path" | grep -vxE -- '--(frames|windows)-*' | sort -u); do
        grep -qx -- "$option" options || { echo "FAILED: $file.md names $option, which is no option"; failed=$((failed + 1)); }
    done
done

echo "$passed passed, $failed failed"
[ $failed = 0 ]

#!/bin/sh
# isobath track as a person meets it: formats, units, coordinates, one clear line per mistake. usage: track.sh ISOBATH SAMPLE_FOLDER
set -u
isobath=$1
sample=$2
. "$(dirname "$0")/expect.sh"

depth=$sample/walk_depth.npz
tracks=$sample/walk_tracks.txt
size="--video-size 640x360"
t="$isobath track $depth $tracks -o $dir/out"

expect 0 "--camera-height METRES" "$isobath" track --help
expect 2 "DEPTH, TRACKS and -o FOLDER expected" "$isobath" track "$depth" "$tracks"
expect 2 "say --metric or --relative" $t --hfov 60 $size
expect 2 "no camera: give the focal length" $t --metric $size
expect 2 "say the size of the tracks' video with --video-size" $t --metric --hfov 60
expect 2 "not the same shape" $t --metric --hfov 60 --video-size 640x480
expect 2 "--format xml: expected json" $t --metric --hfov 60 $size --format xml
expect 2 "in metres already" $t --metric --hfov 60 $size --scale 2
expect 2 "fix its scale" $t --relative $size --poses "$sample/walk_camera.jsonl"
expect 2 "there is no frame 500" $t --relative --hfov 60 $size --known 500,1,1,2
expect 3 "cannot open" "$isobath" track "$depth" "$dir/none.txt" -o "$dir/out" --hfov 60
[ -e "$dir/out" ] && echo "FAILED: a mistake left a folder" && failed=$((failed + 1))

# metric, camera coordinates: every output says so
expect 0 "in camera coordinates, in metres" $t --metric --hfov 60 $size --fps 30 --format json,csv,mot,kitti,svg
expect 0 '"unit": "metre", "coordinates": "camera"' cat "$dir/out/walk_tracks_tracks3d.json"
expect 0 ",metre,camera,0," sed -n 2p "$dir/out/walk_tracks_tracks3d.csv"
expect 0 "1,1,446.00,184.00,23.00,76.00,1.0000,2.3" sed -n 1p "$dir/out/walk_tracks_mot_camera_metre.txt"
expect 0 "0 1 Misc -1 -1 -10 446.00 184.00 469.00 260.00 1." sed -n 1p "$dir/out/walk_tracks_kitti_camera_metre.txt"
expect 0 "camera coordinates, in metres" cat "$dir/out/walk_tracks_top.svg"
expect 8 "exists already" $t --metric --hfov 60 $size
# a picture from above, and the video with boxes: as many frames as the clip
expect 0 "lifted" $t --metric --hfov 60 $size --name drawn --format png,overlay --video "$sample/walk.mp4"
expect 0 "150 frames of 640x360" "$isobath" check "$dir/out/drawn_overlay.mp4"
expect 0 "PNG" head -c 4 "$dir/out/drawn_top.png"
expect 2 "say which video with --video" $t --metric --hfov 60 $size --name nothing --format overlay
expect 3 "$depth" $t --metric --hfov 60 $size --name nothing --video "$depth"
[ -e "$dir/out/nothing_tracks3d.json" ] && { echo "FAILED: a mistake left a file"; failed=$((failed + 1)); }
# the tracks' own format again, with positions
cat > "$dir/c.json" <<END
{"images": [{"id": 5, "video_id": 1, "frame_index": 0}, {"id": 6, "video_id": 2, "frame_index": 0}],
 "annotations": [{"image_id": 6, "track_id": 3, "bbox": [0, 0, 9, 9]}, {"image_id": 5, "track_id": 12, "bbox": [86, 156, 48, 157], "score": 0.9},
 {"image_id": 5, "track_id": 8, "bbox": [-50, -50, 9, 9]}]}
END
c="--metric --hfov 60 $size --format same"
expect 0 "lifted    1" "$isobath" track "$depth" "$dir/c.json" -o "$dir/same" $c --video-id 1
[ "$(tr -d ' \n' < "$dir/same/c_positions.json" | grep -o '"position":\[-2.1[0-9]*,0.5[0-9]*,5.[0-9]*\]' | wc -l)" = 1 ] || { echo "FAILED: c_positions.json"; failed=$((failed + 1)); }
[ "$(grep -c '"refused"' "$dir/same/c_positions.json")" = 1 ] || { echo "FAILED: refused in c_positions.json"; failed=$((failed + 1)); }
[ "$(grep -c '"coordinates": "camera"' "$dir/same/c_positions.json")" = 2 ] || { echo "FAILED: the other video in c_positions.json"; failed=$((failed + 1)); }
expect 0 "(coco)" "$isobath" track "$depth" "$dir/same/c_positions.json" -o "$dir/same" $c --video-id 1 --name again
cmp "$dir/same/c_positions.json" "$dir/same/again_positions.json" || { echo "FAILED: not the same when read again"; failed=$((failed + 1)); }
mkdir "$dir/u"
for k in 0 1; do
    echo '[{"name": "person", "class": 0, "confidence": 0.9, "box": {"x1": 86.5, "y1": 156, "x2": 134, "y2": 313}, "track_id": 7}]' > "$dir/u/f_$k.json"
done
expect 0 "(ultralytics-json)" "$isobath" track "$depth" "$dir/u" -o "$dir/same" $c
for k in 0 1; do expect 0 '"position"' cat "$dir/same/u_positions/f_$k.json"; done
expect 0 "lifted    559" $t $c --name mot
[ -s "$dir/out/mot_mot_camera_metre.txt" ] || { echo "FAILED: same of mot"; failed=$((failed + 1)); }
# what was written is read again, as it says itself
for format in mot kitti; do
    expect 0 "($format)" "$isobath" track "$depth" "$dir/out/walk_tracks_${format}_camera_metre.txt" -o "$dir/again" --metric --hfov 60 $size --name $format
done
# world coordinates
expect 0 "in world coordinates, in metres" $t --metric $size --poses "$sample/walk_camera.jsonl" --name world --format mot,svg
[ -s "$dir/out/world_mot_world_metre.txt" ] || { echo "FAILED: no world_mot_world_metre.txt"; failed=$((failed + 1)); }
# a result's folder is depth, too
mkdir "$dir/result" && cp "$depth" "$dir/result/d.npz"
echo '{"format": "isobath-manifest-1", "outputs": [{"format": "preview", "path": "v.mp4"}, {"format": "npz", "path": "d.npz"}]}' > "$dir/result/w_isobath.json"
expect 0 "lifted    559" "$isobath" track "$dir/result" "$tracks" -o "$dir/out" --metric --hfov 60 $size --name folder
cp "$dir/result/w_isobath.json" "$dir/result/x_isobath.json"
expect 3 "1 more results are in this folder" "$isobath" track "$dir/result" "$tracks" -o "$dir/out" --metric --hfov 60 $size --name folder2
# homographies: the ground that a level camera 1.6 m above it sees
for k in $(seq 0 149); do echo "{\"frame\": $k, \"ground_from_image\": [1.6, 0, -511.2, 0, 0, 886.8, 0, 1, -179.5]}"; done > "$dir/ground.jsonl"
g="$t --metric $size --hfov 60 --poses $dir/ground.jsonl --name ground --format json,png,svg,mot"
expect 2 "it needs --point foot" $g
expect 0 "in world coordinates, in metres" $g --point foot
expect 0 "x and z on the ground of ground_from_image, y 0" head -1 "$dir/out/ground_tracks3d.json"
expect 0 ",0.0000," head -1 "$dir/out/ground_mot_world_metre.txt"
# where the depth of a box is taken: exact depth needs no feet
expect 0 '"depth_at": "body"' cat "$dir/out/walk_tracks_tracks3d.json"
expect 0 "depth     of the ground at the feet" $t --metric --hfov 60 $size --name feet --format json --depth-at feet
expect 0 '"depth_at": "feet"' cat "$dir/out/feet_tracks3d.json"
expect 2 "depth-at" $t --metric --hfov 60 $size --name feet --depth-at head
# relative: units of an unknown scale, unless it is fixed
expect 0 "in units of an unknown scale" $t --relative --hfov 60 $size --name rel --format json,csv,mot
expect 0 "not metres" cat "$dir/out/rel_tracks3d.json"
expect 0 ",relative,camera,0," sed -n 2p "$dir/out/rel_tracks3d.csv"
[ -s "$dir/out/rel_mot_camera_relative.txt" ] || { echo "FAILED: no rel_mot_camera_relative.txt"; failed=$((failed + 1)); }
expect 0 "in metres" $t --relative --hfov 60 $size --name scaled --scale 0.01 --format json
expect 0 "frame 0 at 110,234" $t --relative --hfov 60 $size --name known --known 0,110,234,5.7 --format json
# Ultralytics text: six columns are asked about
mkdir "$dir/labels"
printf '0 0.4 0.6 0.07 0.3 7\n' > "$dir/labels/walk_1.txt"
printf '0 0.4 0.6 0.07 0.3 7\n' > "$dir/labels/walk_4.txt"
l="$isobath track $depth $dir/labels -o $dir/labelled --metric --hfov 60"
expect 3 "walk_1.txt: line 1: the sixth column may be a confidence or an id: say --columns box,conf or --columns box,id" $l
expect 0 "lifted    2, and 2 bridged" $l --columns box,id

echo "$passed passed, $failed failed"
[ $failed = 0 ]

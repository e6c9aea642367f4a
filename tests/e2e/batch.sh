#!/bin/sh
# Several inputs in one command: files, folders, lists; a bad one does not stop the rest; colliding names stop everything before it
# starts. usage: batch.sh ISOBATH SYNTH
set -u
isobath=$1
synth=$2
. "$(dirname "$0")/expect.sh"

"$synth" tiny 1 "$dir/tiny.safetensors" || exit 1
# clip NAME LEVEL: three grey frames of 32x16
clip() {
    printf 'YUV4MPEG2 W32 H16 F25:1 Ip A1:1 C420jpeg\n'
    for i in 1 2 3; do
        printf 'FRAME\n'
        head -c 768 /dev/zero | tr '\0' "$((i + $1))"
    done
}
mkdir "$dir/clips" "$dir/empty"
clip 1 > "$dir/a.y4m"
clip 2 > "$dir/clips/b10.y4m"
clip 3 > "$dir/clips/b9.y4m"
clip 4 > "$dir/clips/c.MP4" # what it is, its contents say
echo text > "$dir/clips/notes.txt"
head -c 200 "$dir/a.y4m" > "$dir/bad.y4m"
run() { # OUT ARGUMENTS...
    to=$dir/$1
    shift
    "$isobath" run -o "$to" --model "$dir/tiny.safetensors" --input-size 28 --format png16,npz --devices cpu "$@"
}

# one bad file of five: exit code of the first failure, four results, the table says so
expect 3 "4 of 5 done, 12 frames" run mixed "$dir/a.y4m" "$dir/bad.y4m" "$dir/clips"
out=$(run order "$dir/clips" --quiet | grep npz | sed 's/.*order.//' | tr '\n' ' ')
[ "$out" = "b9_depths.npz b10_depths.npz c_depths.npz " ] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo "FAILED: order of a folder: $out"; }
# each result is the one that a run of its own gives
for name in b9 b10 c; do
    file=$(ls "$dir/clips/$name".*)
    run "alone" "$file" --quiet > /dev/null || failed=$((failed + 1))
    for f in "${name}_depths.npz" "${name}_isobath.json"; do
        if cmp -s "$dir/mixed/$f" "$dir/alone/$f"; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAILED: $f differs from a run alone"; fi
    done
done
# names that collide: nothing is started
mkdir "$dir/other"
cp "$dir/a.y4m" "$dir/other/a.avi"
expect 2 "would both give results called a" run collide "$dir/clips" "$dir/a.y4m" "$dir/other/a.avi"
expect 2 "would both give results called a" run collide "$dir/a.y4m" "$dir/a.y4m"
[ ! -e "$dir/collide" ] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo "FAILED: something was started"; }
expect 2 "--name is for one input" run named "$dir/clips" --name x
expect 3 "1 of 2 done" run empty "$dir/empty" "$dir/a.y4m"
# lists
printf '%s\n\n%s\r\n' "$dir/a.y4m" "$dir/clips" > "$dir/list.txt"
expect 0 "4 of 4 done, 12 frames" run list --list "$dir/list.txt"
out=$(run stdin --list - --json < "$dir/list.txt" 2>&1 | grep '"event":"summary"')
case $out in *'"frames":3'*'"state":"done"'*) passed=$((passed + 1)) ;; *) failed=$((failed + 1)) && echo "FAILED: summary event: $out" ;; esac
expect 3 "cannot read the list" run nolist --list "$dir/missing.txt"
expect 3 "not a list of inputs" run nolist --list "$dir/tiny.safetensors"
expect 3 "the list of inputs is empty" run nolist --list /dev/null
printf -- '-\n' > "$dir/dash.txt"
out=$(run dash --list - < "$dir/dash.txt" 2>&1)
case $? in 2) passed=$((passed + 1)) ;; *) failed=$((failed + 1)) && echo "FAILED: list and video on stdin: $out" ;; esac
# what exists already is refused for that input only
rm -r "$dir/mixed/b9_depths.npz" "$dir/mixed/b9_depths_png16" "$dir/mixed/b9_isobath.json"
expect 8 "1 of 3 done" run mixed "$dir/clips"

echo "$passed passed, $failed failed"
[ $failed = 0 ]

#!/bin/sh
# A run cut into tasks: any number of segments in any order, twice, after damage and kills, merged at once or in parts: the bytes of
# isobath run. usage: cluster.sh ISOBATH SYNTH CLIP
set -u
isobath=$1
synth=$2
clip=$3
. "$(dirname "$0")/expect.sh"
ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $*"; }

"$synth" tiny 1 "$dir/tiny.safetensors" || exit 1
name=$(basename "${clip%.*}")
formats=png16,npz,preview,exr
printf '40\n73\n' > "$dir/cuts.txt"
settings="--model $dir/tiny.safetensors --input-size 28 --max-res 96 --max-frames 100 --cuts $dir/cuts.txt --format $formats,src --side-by-side"
"$isobath" run "$clip" -o "$dir/run" $settings --devices cpu --precision fp32 --decoder software --quiet > /dev/null || bad "run"

# same FOLDER WHAT: every file as isobath run made it; the log and the status file hold times, the tasks' files are gone
same() {
    out=$(diff -rq "$dir/run" "$1" | grep -v -e 'isobath\.log\.jsonl' -e 'isobath\.status\.json')
    if [ -z "$out" ]; then ok; else bad "$2: $out"; fi
}

# the plan
expect 2 "a pipe or live source can be read once only" "$isobath" shard - -o "$dir/p" $settings
expect 2 "no folder" "$isobath" shard "$clip"
expect 3 "missing.mp4" "$isobath" shard "$dir/missing.mp4" -o "$dir/p" $settings
expect 3 "no plan is there" "$isobath" work "$dir" --segment 0
expect 0 "100 frames, 6 windows, 3 segments" "$isobath" shard "$clip" -o "$dir/a" $settings --segments 3
expect 8 "exists already" "$isobath" shard "$clip" -o "$dir/a" $settings --segments 3
expect 0 "2 segments" "$isobath" shard "$clip" -o "$dir/a" $settings --segments 2 --overwrite
expect 0 "6 segments" "$isobath" shard "$clip" -o "$dir/a" $settings --segments 999 --overwrite
expect 2 "the plan has segments 0 to 5" "$isobath" work "$dir/a" --segment 6
expect 3 "to be done again: isobath work $dir/a --name $name --segment 0" "$isobath" merge "$dir/a"

# segments in any order, some twice at once; then everything in one process
for i in 4 1 5 0 3; do "$isobath" work "$dir/a" --segment $i --devices cpu --quiet || bad "segment $i"; done
"$isobath" work "$dir/a" --segment 2 --devices cpu --quiet & first=$!
"$isobath" work "$dir/a" --segment 2 --devices cpu --quiet || bad "segment 2"
wait $first || bad "segment 2, the other one"
expect 0 "segment 3 is there" "$isobath" work "$dir/a" --segment 3
rm "$dir/a/${name}_isobath.status.json" # of the merge that could not be
expect 0 "segments 6 of 6, not aligned" "$isobath" status "$dir/a"
expect 0 '"task": "segment 5"' "$isobath" status "$dir/a" --json
cp -r "$dir/a" "$dir/b" # for the same in parts, below
"$isobath" merge "$dir/a" --quiet > /dev/null || bad "merge"
same "$dir/a" "merged at once"
expect 0 ": done" "$isobath" status "$dir/a"

# a damaged input, repeated over: the plan knows which frames stand in
{ head -c $(($(wc -c < "$clip") / 2)) "$clip"; printf 'this is no video, it is damage'; tail -c +$(($(wc -c < "$clip") / 2 + 31)) "$clip"; } > "$dir/hurt.mp4"
hurt="--model $dir/tiny.safetensors --input-size 28 --max-res 96 --max-frames 100 --format npz --on-error repeat"
"$isobath" run "$dir/hurt.mp4" -o "$dir/hurt-run" $hurt --devices cpu --precision fp32 --decoder software --quiet > /dev/null || bad "run of a damaged input"
grep -q '"repeated"' "$dir/hurt-run/hurt_isobath.json" || bad "the manifest names no repeated frame"
expect 0 "stand in for damaged ones" "$isobath" check "$dir/hurt-run"
expect 0 "segments" "$isobath" shard "$dir/hurt.mp4" -o "$dir/hurt" $hurt --segments 2
expect 2 "sees no damage" "$isobath" shard "$dir/hurt.mp4" -o "$dir/hurt2" $hurt --count packets
for i in 0 1; do "$isobath" work "$dir/hurt" --segment $i --devices cpu --quiet || bad "segment $i of a damaged input"; done
"$isobath" merge "$dir/hurt" --quiet > /dev/null || bad "merge of a damaged input"
cmp "$dir/hurt-run/hurt_isobath.json" "$dir/hurt/hurt_isobath.json" && ok || bad "a damaged input: another manifest"

# damage: told in one line, done again
tasks=$dir/b/${name}_isobath.tasks
printf 'x' | dd of="$tasks/segment_00001.raw" bs=1 seek=5000 conv=notrunc 2> /dev/null
expect 3 "has a wrong checksum: to be done again: isobath work" "$isobath" merge "$dir/b" --chain
head -c 9999 "$tasks/segment_00004.raw" > "$dir/cut" && mv "$dir/cut" "$tasks/segment_00004.raw"
expect 0 "its end is missing: it is done again" "$isobath" work "$dir/b" --segment 4
expect 0 "segment 1: 1 windows" "$isobath" work "$dir/b" --segment 1
# killed in mid-work: nothing half-made
"$isobath" work "$dir/b" --segment 3 --again --devices cpu --quiet & first=$!
sleep 0.2
kill -9 $first
wait $first 2> /dev/null
expect 0 "segment 3 is there" "$isobath" work "$dir/b" --segment 3

# in parts, in any order, one of them twice
expect 3 "chain.bin" "$isobath" merge "$dir/b" --render 0/4
expect 0 "6 windows" "$isobath" merge "$dir/b" --chain
expect 3 "nothing is rendered yet" "$isobath" merge "$dir/b" --finish
expect 2 "I/N" "$isobath" merge "$dir/b" --render 4/4
for i in 3 1 0; do "$isobath" merge "$dir/b" --render $i/4 --quiet || bad "part $i"; done
expect 3 "to be done again: isobath merge $dir/b" "$isobath" merge "$dir/b" --finish
"$isobath" merge "$dir/b" --render 2/4 --quiet || bad "part 2"
"$isobath" merge "$dir/b" --render 1/4 --again --quiet & first=$!
"$isobath" merge "$dir/b" --render 1/4 --again --quiet || bad "part 1 again"
wait $first || bad "part 1, the other one"
expect 0 "nothing to do" "$isobath" merge "$dir/b" --render 0/4
printf 'x' | dd of="$tasks/render_00000_of_00004.bin" bs=1 seek=200 conv=notrunc 2> /dev/null
expect 3 "checksum is wrong: to be done again" "$isobath" merge "$dir/b" --finish
"$isobath" merge "$dir/b" --render 0/4 --quiet || bad "part 0 after damage"
"$isobath" merge "$dir/b" --finish --quiet > /dev/null || bad "finish"
expect 0 " frames (100%)" "$isobath" status "$dir/b"
"$isobath" status "$dir/b" | grep -q "^  0 of" && bad "the end counts no frames" || ok
same "$dir/b" "merged in parts"

# another input in its place is refused
cp "$clip" "$dir/film.mp4"
"$isobath" shard "$dir/film.mp4" -o "$dir/c" --model "$dir/tiny.safetensors" --input-size 28 --max-res 96 --max-frames 60 --format npz --quiet || bad "shard"
expect 4 "not the checkpoint that was planned with" sh -c "cp '$dir/tiny.safetensors' '$dir/keep' && '$synth' tiny 2 '$dir/tiny.safetensors' && '$isobath' work '$dir/c' --segment 0 --devices cpu"
mv "$dir/keep" "$dir/tiny.safetensors"
expect 0 "" "$isobath" run "$clip" -o "$dir/other" --model "$dir/tiny.safetensors" --input-size 28 --max-res 640 --max-frames 60 --format src --start-frame 30 --quiet
cp "$dir/other/"*_src.mp4 "$dir/film.mp4"
expect 3 "frame 0 is not the one that was planned with" "$isobath" work "$dir/c" --segment 0 --devices cpu

# counted by packets: the same plan for a healthy stream; a wrong count is found by the tasks
expect 2 "finds no cuts" "$isobath" shard "$clip" -o "$dir/d" --model "$dir/tiny.safetensors" --cuts auto --count packets
expect 0 "100 frames, 6 windows, 2 segments" "$isobath" shard "$clip" -o "$dir/d" $settings --segments 2 --count packets
for i in 0 1; do "$isobath" work "$dir/d" --segment $i --devices cpu --quiet || bad "segment $i, counted by packets"; done
"$isobath" merge "$dir/d" --quiet > /dev/null || bad "merge, counted by packets"
same "$dir/d" "counted by packets"
cp "$clip" "$dir/short.mp4"
"$isobath" shard "$dir/short.mp4" -o "$dir/e" --model "$dir/tiny.safetensors" --input-size 28 --max-res 96 --format npz --count packets --quiet || bad "shard by packets"
"$isobath" run "$clip" -o "$dir/other" --model "$dir/tiny.safetensors" --input-size 28 --max-res 640 --max-frames 90 --format src --overwrite --quiet > /dev/null
cp "$dir/other/"*_src.mp4 "$dir/short.mp4"
expect 3 "plan it without --count packets" "$isobath" work "$dir/e" --segment 0 --devices cpu

# what isobath slurm gives to sbatch, and scripts that bear any path: with a stand-in for sbatch
mkdir "$dir/bin"
cat > "$dir/bin/sbatch" <<X
#!/bin/sh
for a in "\$@"; do printf '%s\n' "\$a"; done >> "$dir/sbatch.log"
echo x >> "$dir/sbatch.count"
echo "\$((100 + \$(wc -l < "$dir/sbatch.count")));cluster"
X
chmod +x "$dir/bin/sbatch"
place="$dir/it's a folder"
PATH=$dir/bin:$PATH "$isobath" slurm "$clip" -o "$place" $settings --nodes 3 --gpus-per-node 2 --segments 5 --parts 2 --partition p --account a --time 1:00 --mem 4G \
    --cpus-per-task 7 --sbatch=--qos=low --no-wait --count packets > "$dir/slurm.log" 2>&1 || bad "slurm: $(cat "$dir/slurm.log")"
for word in --array=0-4%6 --array=0-1%3 --gres=gpu:1 --partition=p --account=a --time=1:00 --mem=4G --cpus-per-task=7 --qos=low --requeue \
    --dependency=afterok:101 --dependency=afterok:102 --dependency=afterok:103 --kill-on-invalid-dep=yes "$place/${name}_isobath.slurm/finish.sh"; do
    grep -qxF -- "$word" "$dir/sbatch.log" && ok || bad "sbatch was not told $word"
done
[ "$(grep -c gres "$dir/sbatch.log")" = 1 ] && ok || bad "cards for more than the segments"
grep -q -- "--devices cuda" "$place/${name}_isobath.slurm/work.sh" && ok || bad "work.sh: no card"
expect 2 "expected OPTION" "$isobath" slurm "$clip" -o "$place" --sbatch qos=low
PATH=$dir/bin:$PATH "$isobath" slurm "$clip" -o "$place" $settings --nodes 3 --segments 5 --parts 2 --no-wait --quiet --overwrite || bad "slurm, again"
scripts=$place/${name}_isobath.slurm
for i in 0 1 2 3 4; do SLURM_ARRAY_TASK_ID=$i sh "$scripts/work.sh" "$(ls "$scripts"/work_*.list | tail -1)" > /dev/null || bad "work.sh $i"; done
sh "$scripts/chain.sh" 2> /dev/null || bad "chain.sh"
for i in 1 0; do SLURM_ARRAY_TASK_ID=$i sh "$scripts/render.sh" "$(ls "$scripts"/render_*.list | tail -1)" 2> /dev/null || bad "render.sh $i"; done
sh "$scripts/finish.sh" > /dev/null 2>&1 || bad "finish.sh"
rm -r "$scripts"
same "$place" "by the scripts for Slurm"

# guided upsampling, whose frames need the pictures: at once and in parts
guided="--model $dir/tiny.safetensors --input-size 28 --max-res 96 --max-frames 60 --format png16,npz,exr --upsample guided --output-size 90x60"
"$isobath" run "$clip" -o "$dir/run_g" $guided --devices cpu --precision fp32 --decoder software --quiet > /dev/null || bad "run, guided"
"$isobath" shard "$clip" -o "$dir/g" $guided --segments 2 --quiet || bad "shard, guided"
for i in 1 0; do "$isobath" work "$dir/g" --segment $i --devices cpu --quiet || bad "segment $i, guided"; done
cp -r "$dir/g" "$dir/g_parts"
"$isobath" merge "$dir/g" --quiet > /dev/null || bad "merge, guided"
"$isobath" merge "$dir/g_parts" --chain --quiet || bad "chain, guided"
for i in 2 0 1; do "$isobath" merge "$dir/g_parts" --render $i/3 --quiet || bad "part $i, guided"; done
"$isobath" merge "$dir/g_parts" --finish --quiet > /dev/null || bad "finish, guided"
mv "$dir/run" "$dir/run_bilinear" && mv "$dir/run_g" "$dir/run"
same "$dir/g" "guided, merged at once"
same "$dir/g_parts" "guided, merged in parts"

echo "$passed passed, $failed failed"
[ $failed = 0 ]

# Part of tools/gpu-check.sh, step guard: guard and memory. A checkpoint whose activations overflow fp16; the network of VDA-L where
# 5.5 GiB is all there is; recordings that are broken off; memory that ends in mid-run, or that others take.

most_memory() { # COMMAND...: runs it, prints the most memory of the card meanwhile, MiB
    local most=0 now rc
    "$@" &
    while kill -0 $! 2> /dev/null; do
        now=$(query memory.used)
        [ "${now:-0}" -gt "$most" ] 2> /dev/null && most=$now
        sleep "${EVERY:-0.1}"
    done
    wait $!
    rc=$?
    echo "$most"
    return $rc
}
if ! wanted guard; then row skip guard 0 "not among --steps"
elif [ -z "$isobath" ] || [ -z "$synth" ]; then row skip guard 0 "the build has no isobath, only the ops"
else
    "$synth" frames 1 "$work/clip.rgb" 44 360 640
    guarded() { # NAME CHECKPOINT ARGUMENTS...
        local name=$1 checkpoint=$2
        shift 2
        timeout "$limit" "$isobath" run "$work/clip.rgb" --raw 640x360:rgb24:25 -o "$work/$name" --name out --format png16 --model "$work/$checkpoint.safetensors" \
            --devices cuda:0 --overwrite "$@" > "$logs/guard-$name.log" 2>&1
    }
    same() { # ROW A B
        if [ -e "$work/$2/out_isobath.json" ] && diff -rq "$work/$2/out_depths_png16" "$work/$3/out_depths_png16" > "$logs/$1.log" 2>&1; then
            row ok "$1" "$4" "$(ls "$work/$2/out_depths_png16" | wc -l) files equal those of fp32; $(grep -c '"redone"' "$work/$2/out_isobath.json") windows redone"
        else row FAIL "$1" "$4" "$(tail -n 1 "$logs/guard-$2.log") $(head -n 1 "$logs/$1.log")"; fi
    }
    for model in $models; do
        "$synth" "$model-overflow" 1 "$work/overflow.safetensors" || row FAIL "guard-$model" 0 "no checkpoint"
        guarded fp32 overflow --precision fp32
        if [ "$model" = vitl ]; then
            start=$(date +%s) before=$(query memory.used)
            most=$(most_memory guarded capped overflow --precision fp16 --device-memory 5.5G)
            same guard-vitl-in-5.5-GiB capped fp32 $(($(date +%s) - start))
            most=$((${most:-999999} - before))
            figure capped-vitl "$(awk -v m="$most" 'BEGIN {printf "%.2f", m / 1024}')"
            [ "$most" -le 5632 ] && row ok memory-vitl-in-5.5-GiB 0 "the card held $most MiB more than before at most (5632 allowed), fp32 redo included" ||
                row FAIL memory-vitl-in-5.5-GiB 0 "the card held $most MiB more than before, 5632 are allowed"
            grep -q '"redone"' "$work/capped/out_isobath.json" 2> /dev/null || row FAIL "guard-$model" 0 "no window was redone: the checkpoint does not overflow"
            continue
        fi
        for precision in fp16 auto; do
            start=$(date +%s)
            guarded $precision overflow --precision $precision
            same "guard-$model-$precision" $precision fp32 $(($(date +%s) - start))
        done
        if [ "$model" = vits ]; then # out of memory in mid-run: a smaller plan from there on
            start=$(date +%s)
            ISOBATH_WORKER_TEST=always,window=1,short guarded short overflow --precision fp32
            same memory-ends-in-mid-run short fp32 $(($(date +%s) - start))
            grep -q '"smaller_plan"' "$work/short/out_isobath.log.jsonl" 2> /dev/null || row FAIL memory-ends-in-mid-run 0 "the run did not say that it took a smaller plan"
        fi
        if ! grep -q '"redone"' "$work/fp16/out_isobath.json" 2> /dev/null; then row FAIL "guard-$model" 0 "no window was redone: the checkpoint does not overflow"; fi
    done
    rm -rf "$work"/fp* "$work/auto" "$work/capped" "$work/short"
    graph=$(find_program unit_graph)
    if [ -z "$graph" ]; then row skip recordings-broken-off 0 "the build has no unit_graph"
    else for act in f16 bf16 f32; do check recordings-broken-off-$act "$limit" 'PASSED  . 1 test' "$graph" cuda $act; done; finish; fi
    scarce=$(find_program unit_compute_memory)
    if [ -z "$scarce" ]; then row skip memory-taken-by-others 0 "the build has no unit_compute_memory"
    else
        places=1 # each takes all of the card for a moment
        for act in f16 bf16 f32; do check memory-taken-by-others-$act "$limit" 'PASSED  . 5 test' env -C "$work" "$scarce" cuda $act; done
        finish
    fi
fi

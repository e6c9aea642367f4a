# Part of tools/gpu-check.sh, step reference: PyTorch's implementation on this card with the same weights. torch.compile of it takes
# minutes, so it begins at once (reference_begin) and ends in reference_measure.

# PyTorch compiles the reference in processes of their own, one a model; compiling STOP|CONT|KILL|0 signals all of them.
compilers=()
compiling() { local p rc=1; for p in ${compilers[@]+"${compilers[@]}"}; do kill -"$1" -- "-$p" 2> /dev/null && rc=0; done; return $rc; }
reference_begin() {
    local model
    wanted reference && [ -n "$reference" ] && python3 -c 'import torch; assert torch.cuda.is_available()' > /dev/null 2>&1 || return 0
    for model in $models; do
        setsid python3 "$root/bench/reference.py" "$reference" --models "$model" --variants compiled --hold "$work/measure-$model" \
            > "$logs/compiled-$model.log" 2> "$logs/compiled-$model.err" &
        compilers+=($!)
        disown $! # nobody waits for it but the end of this step
    done
}

reference_measure() {
    if ! wanted reference; then row skip reference 0 "not among --steps"
    elif [ -z "$reference" ]; then row skip reference 0 "no checkout of the PyTorch implementation was named (--reference DIR)"
    elif ! python3 -c 'import torch; assert torch.cuda.is_available()' > /dev/null 2>&1; then row skip reference 0 "python3 here has no PyTorch that sees the card"
    elif [ -z "$synth" ]; then row skip reference 0 "the build has no isobath_synth"
    else
        for model in $models; do "$synth" "$model" 1 "$work/$model.safetensors" || row FAIL reference 0 "no checkpoint"; done
        waited timeout -k 5 "$(within $((${REFERENCE_LIMIT:-600} + 120)))" python3 "$root/bench/reference.py" "$reference" --models "${models// /,}" --weights "$work" \
            --limit "${REFERENCE_LIMIT:-600}" --variants plain,fused ${clip:+--clip "$clip"} > "$logs/reference.log" 2> "$logs/reference.err"
        case $? in
        0) ;;
        124 | 137) row skip reference "" "stopped by its limit of time: the rows that are missing" ;;
        *) row FAIL reference 0 "$(tail -n 1 "$logs/reference.err")" ;;
        esac
        compiling CONT
        i=0
        for model in $models; do # one after the other: each has the card for itself
            start=$(date +%s)
            deadline=$((start + $(within "${COMPILE_LIMIT:-300}")))
            touch "$work/measure-$model"
            while kill -0 "${compilers[i]}" 2> /dev/null && [ "$(date +%s)" -lt $deadline ]; do sleep 0.2; done
            i=$((i + 1))
            if [ -s "$logs/compiled-$model.log" ] && grep -q '^reference vit' "$logs/compiled-$model.log"; then cat "$logs/compiled-$model.log" >> "$logs/reference.log"
            else row skip "reference-$model-compiled" $(($(date +%s) - start)) "not ready in time: $(tail -n 1 "$logs/compiled-$model.err")"; fi
        done
        while read -r _ model size act variant rest; do
            case "$rest" in
            *frames/s*)
                theirs=${rest%% *}
                key=$model-$size-$act
                [ "$size" = clip ] && key=whole-$model
                ours=$(value "$key")
                figure "$variant-$key" "$theirs"
                gib=$(echo "$rest" | grep -o '[0-9.]* GiB')
                [ "$variant" = plain ] && figure "plain-memory-$key" "${gib%% *}"
                [ -z "$(value "least-memory-$key")" ] || awk -v a="${gib%% *}" -v b="$(value "least-memory-$key")" 'BEGIN {exit !(a < b)}' && figure "least-memory-$key" "${gib%% *}"
                row - "reference-$model-$size-$act-$variant" "" "$rest$(awk -v a="$ours" -v b="$theirs" 'BEGIN {if (a > 0) printf "; ours %.1f: %.1f times", a, a / b}')"
                ;;
            left*) row skip "reference-$model-$size-$act-$variant" "" "$rest" ;;
            failed*) row skip "reference-$model-$size-$act-$variant" "" "$rest" ;;
            esac
        done < <(grep '^reference vit' "$logs/reference.log")
    fi
}

# Part of tools/gpu-check.sh, step speed: frames/s and memory of the networks.

if ! wanted speed; then row skip speed 0 "not among --steps"
elif [ -z "$network" ]; then row skip speed 0 "the build has no bench_network, only the ops"
else
    logged() { local log=$1; shift; "$@" > "$log" 2>&1; }
    net() { # MODEL SOURCE ACT WINDOWS [ARGUMENTS]
        local key=$1-$2-$3 start before most line
        local name=network-$key
        start=$(date +%s) before=$(query memory.used)
        most=$(EVERY=0.5 most_memory logged "$logs/$name.log" timeout "${SPEED_LIMIT:-300}" "$network" --backend cuda --model "$1" --source "$2" \
            --act "$3" --windows "$4" --repeat 5 ${5:-}) || { row FAIL "$name" $(($(date +%s) - start)) "$(tail -n 1 "$logs/$name.log")"; return; }
        line=$(tail -n 1 "$logs/$name.log" | sed 's/.*code_[0-9]* [0-9.]* *//; s/  */ /g')
        row - "$name" $(($(date +%s) - start)) "$line; the card held $((most - before)) MiB more"
        figure "$key" "${line%% *}"
        figure "memory-$key" "$(echo "$line" | awk '{for (i = 1; i < NF; i++) if ($i ~ /^(weights|features|activations)$/) m += $(i + 1); printf "%.2f", m / 1024}')"
        figure "process-$key" "$(awk -v m=$((most - before)) 'BEGIN {printf "%.2f", m / 1024}')"
    }
    for model in $models; do
        windows=40
        [ "$model" = vits ] || windows=${LARGE_WINDOWS:-40}
        for source in 518x518 924x518; do net "$model" $source f16 $windows; done
        [ "$model" = vits ] && net vits 518x518 f32 20 "--encode-batch 8"
    done
fi

# Part of tools/gpu-check.sh, step ptx: the PTX for the oldest cards (compute_75), compiled for this one with every other image left
# out: how long that takes, every op, and the expected values of the reference. What the driver keeps of it goes into $work, apart
# from the user's own cache.

ptx() {
    env CUDA_FORCE_PTX_JIT=1 CUDA_CACHE_PATH="$work/ptx-cache" CUDA_CACHE_MAXSIZE=1073741824 \
        ISOBATH_CUDA_MODULE="${PTX_MODULE:-$ISOBATH_CUDA_MODULE}" "$@"
}
uncached() { ptx env CUDA_CACHE_DISABLE=1 "$@"; }
compile_ptx() { # the same short run with the module's own code and with its PTX
    local start times=() how
    for how in env uncached; do
        start=$(date +%s%N)
        $how timeout "$limit" "$network" --backend cuda --model tiny --source 98x98 --windows 2 --repeat 1 > "$logs/ptx-$how.log" 2>&1
        times+=($((($(date +%s%N) - start) / 1000000)))
    done
    printf '%s\t%s\t%s\t%s\n' - ptx-compile $((times[1] / 1000)) "a short run takes ${times[0]} ms, ${times[1]} ms where the driver compiles the PTX of compute_75 first"
}
ptx_ops() { # ACT: leaves the code of every op of that type in the cache
    judge "ptx75-checkop-$1" "$limit" "$passed" ptx "$checkop" --backend cuda --act "$1"
    touch "$work/ptx-compiled-$1"
}
ptx_oracle() { # NAME ACT: when its code is there
    local start
    start=$(date +%s)
    until [ -e "$work/ptx-compiled-$2" ] || [ $(($(date +%s) - start)) -ge "$limit" ]; do sleep 0.2; done
    expected ptx75-oracle "$1" "$2" ptx
}
ptx_oracles() { # behind everything else; not the wide models: should a driver compile anew in every process, each row takes half a minute
    local name act
    [ -n "$with_ptx" ] && [ -n "$oracle" ] || return 0
    for name in $(cases | grep -E '^(v2)?(tiny|vits)_'); do for act in f32 f16; do start_job ptx_oracle "$name" $act; done; done
}

with_ptx=
if ! wanted ptx; then row skip ptx 0 "not among --steps"
elif ! cuobjdump --list-ptx "${PTX_MODULE:-$ISOBATH_CUDA_MODULE}" 2> /dev/null | grep -q sm_75; then
    row skip ptx 0 "the module holds no PTX of compute_75 (PTX_MODULE=FILE names one that does), or there is no cuobjdump to tell"
else
    with_ptx=1
    [ -z "$network" ] || start_job compile_ptx
    for act in f32 f16; do start_job ptx_ops $act; done
fi

# Part of tools/gpu-check.sh, step ops: every op on every path, and equal bytes at every batch and position.

if wanted ops; then
    for act in f32 f16 bf16; do
        for path in $paths; do check "checkop-$act-$path" "$limit" "$passed" env ISOBATH_CUDA_PATH=$path "$checkop" --backend cuda --act $act; done
        check "invariance-$act" "$limit" "$passed" "$checkop" invariance --backend cuda --act $act
    done
else
    row skip ops 0 "not among --steps"
fi

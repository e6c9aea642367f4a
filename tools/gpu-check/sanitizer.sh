# Part of tools/gpu-check.sh, step sanitizer: compute-sanitizer's memcheck and racecheck on every op.

if ! wanted sanitizer; then row skip compute-sanitizer 0 "not among --steps"
elif ! command -v compute-sanitizer > /dev/null; then row skip compute-sanitizer 0 "is not on PATH"
else
    for tool in memcheck racecheck; do
        for op in ${SANITIZER_OPS:-linear conv3x3 attention temporal_block temporal_attention output_head conv_transpose groupnorm layernorm fit_sums render
            resize_bilinear resize_taps overlap_add preprocess yuv_to_rgb patchify embed_tokens add_pos add copy count_nonfinite}; do
            check "$tool-$op" "${SANITIZER_LIMIT:-600}" "$passed" compute-sanitizer --error-exitcode 1 --tool $tool "$checkop" --backend cuda --act f16 --op $op
        done
    done
fi

# Part of tools/gpu-check.sh, step kernels: the rates of the ops by themselves, into logs.

if ! wanted kernels; then row skip kernels 0 "not among --steps"
else
    for program in gpu_ops gpu_attention; do
        binary=$(find_program $program)
        [ -n "$binary" ] || { row skip $program 0 "is not in the build"; continue; }
        timeout "${SPEED_LIMIT:-300}" "$binary" --act f16 --frames 11 > "$logs/$program.log" 2>&1 && row - $program "" "$(wc -l < "$logs/$program.log") lines in $program.log" ||
            row FAIL $program "" "$(tail -n 1 "$logs/$program.log")"
    done
fi

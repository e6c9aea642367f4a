# Part of tools/gpu-check.sh, step oracles: the expected values of the reference (tests/oracle) in every precision.

half_bounds() { # the bounds of f16 and bf16; an overflow is the guard's business, inner values have no bound
    case $1 in
    f16) echo "--no-taps --median 5e-4 --p9999 3e-3 --worst 5.2e-3" ;;
    bf16) echo "--no-taps --median 3e-3 --p9999 2.7e-2 --worst 5.2e-2" ;;
    esac
}
cases() { for file in "$root"/tests/oracle/data/*.safetensors; do basename "$file" .safetensors; done; }
expected() { # PREFIX NAME ACT [ptx]: the line of a case
    local program=$oracle
    case $2 in *_stream) program=$stream ;; esac
    if [ -z "$program" ]; then printf 'skip\t%s\t0\t%s\n' "$1-$2-$3" "the build has no oracle_stream"
    else judge "$1-$2-$3" "$limit" '^ok$' ${4:-} "$program" "$2" --backend cuda --act "$3" --threads 2 $(half_bounds "$3"); fi
}

if ! wanted oracles; then row skip oracles 0 "not among --steps"
elif [ -z "$oracle" ]; then row skip oracles 0 "the build has no oracle_case"
else
    for name in $(cases); do for act in f32 f16 bf16; do start_job expected oracle "$name" $act; done; done
fi

#!/bin/bash
# Everything that a CUDA machine can tell about isobath, in one go: builds, checks every op on every path, the expected
# values of the reference, the speed of ops, networks and the whole command (tools/whole-command.sh: decoders, guard, memory caps),
# compute-sanitizer. Exits non-zero when a check fails.
# usage: tools/gpu-check.sh [BUILD_DIR]     (default build-gpu-check; ARCHS=90a-real limits the targets of the module)
# With nothing but CUDA and a C compiler (no libav), it checks the ops alone.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-$root/build-gpu-check}
logs=$build/gpu-check
failed=0

if ! command -v nvidia-smi > /dev/null || ! nvidia-smi -L > /dev/null 2>&1; then
    echo "gpu-check: no NVIDIA driver or card answers here (nvidia-smi -L)" >&2
    exit 1
fi
options="-DISOBATH_CUDA=ON -DCMAKE_BUILD_TYPE=Release -DISOBATH_CUDA_ARCHS=${ARCHS:-}"
cmake -S "$root" -B "$build" $options > /tmp/gpu-check-cmake.$$ 2>&1 ||
    cmake -S "$root" -B "$build" $options -DISOBATH_OPS_ONLY=ON > /tmp/gpu-check-cmake.$$ 2>&1 ||
    { cat /tmp/gpu-check-cmake.$$ >&2; exit 1; }
rm -f /tmp/gpu-check-cmake.$$
cmake --build "$build" -j "$(nproc)" > "$build/build.log" 2>&1 || { tail -n 20 "$build/build.log" >&2; exit 1; }
mkdir -p "$logs"
export ISOBATH_CUDA_MODULE=$build/isobath_cuda.so

# A check: name, then the command; one line with its last line of output.
check() {
    local name=$1
    shift
    if "$@" > "$logs/$name.log" 2>&1; then
        printf 'ok    %-28s %s\n' "$name" "$(tail -n 1 "$logs/$name.log")"
    else
        printf 'FAIL  %-28s %s\n' "$name" "$(tail -n 1 "$logs/$name.log")"
        failed=1
    fi
}

find_program() { find "$build" -name "$1" -type f -perm -u+x | head -n 1; }
checkop=$(find_program checkop)
oracle=$(find_program oracle_case)
network=$(find_program bench_network)

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
for act in f32 f16 bf16; do
    for path in simt mma wgmma; do
        [ $path = wgmma ] && [ "$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1)" != 9.0 ] && continue
        check "checkop-$act-$path" env ISOBATH_CUDA_PATH=$path "$checkop" --backend cuda --act $act
    done
    check "invariance-$act" "$checkop" invariance --backend cuda --act $act
done
if [ -n "$oracle" ]; then
    for file in "$root"/tests/oracle/data/*.safetensors; do
        name=$(basename "$file" .safetensors)
        case $name in *_stream) continue ;; esac
        check "oracle-f32-$name" "$oracle" "$name" --backend cuda --act f32
        check "oracle-f16-$name" "$oracle" "$name" --backend cuda --act f16 --no-taps --median 5e-4 --p9999 3e-3 --worst 5.2e-3
        check "oracle-bf16-$name" "$oracle" "$name" --backend cuda --act bf16 --no-taps --median 3e-3 --p9999 2.7e-2 --worst 5.2e-2
    done
fi
if command -v compute-sanitizer > /dev/null; then
    for op in linear conv3x3 conv_transpose attention temporal_attention output_head; do
        check "memcheck-$op" compute-sanitizer --error-exitcode 1 --tool memcheck "$checkop" --backend cuda --act f16 --op $op
        check "racecheck-$op" compute-sanitizer --error-exitcode 1 --tool racecheck "$checkop" --backend cuda --act f16 --op $op
    done
else
    echo "skip  compute-sanitizer is not on PATH"
fi

for program in gpu_ops gpu_attention; do
    binary=$(find_program $program)
    [ -n "$binary" ] && "$binary" --act f16 | tee "$logs/$program.log"
done
if [ -n "$network" ]; then
    for model in vits vitl; do
        for source in 518x518 1280x720; do
            "$network" --backend cuda --model $model --source $source --act f16 --windows 40 --repeat 5 | tee -a "$logs/network.log"
        done
    done
    "$network" --backend cuda --model vits --source 518x518 --act f32 --windows 40 --repeat 5 | tee -a "$logs/network.log"
fi
if [ -n "$network" ]; then
    MODELS="${MODELS:-vits vitl}" "$root/tools/whole-command.sh" "$build" ${CLIP:-} | tee "$logs/whole-command.log"
    [ "${PIPESTATUS[0]}" = 0 ] || failed=1
fi
[ $failed = 0 ] && echo "gpu-check: all checks passed" || echo "gpu-check: checks failed, logs in $logs"
exit $failed

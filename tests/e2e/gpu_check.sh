#!/bin/bash
# tools/gpu-check.sh without a card: programs that answer as the real ones do stand in for the driver's tools and for the build. Every
# step writes its rows, what goes wrong is a FAIL row and the exit status, and what cannot be run says why.
# usage: gpu_check.sh SOURCE_DIR
set -u
source_dir=$1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/build"
program() { # NAME: from standard input
    { echo '#!/bin/bash'; cat; } > "$1"
    chmod +x "$1"
}
program "$work/bin/nvidia-smi" << 'E'
case "$*" in
-L) echo "GPU 0: played" ;;
*compute_cap*) echo 9.0 ;;
*name,driver_version*) echo "played, 580.1, 143000" ;;
*memory.total*) echo 143000 ;;
*memory.used*) echo 500 ;;
esac
E
program "$work/bin/cuobjdump" <<< 'echo "PTX file 1: a.sm_75.ptx"'
program "$work/bin/compute-sanitizer" <<< 'echo "7 passed, 0 failed, 0 skipped"'
program "$work/build/checkop" << 'E'
echo "7 passed, 0 failed, 0 skipped"
case "$* ${ISOBATH_CUDA_PATH:-}" in ${BAD_OP:-none}) exit 1 ;; esac # dies after its last line
E
for name in oracle_case oracle_stream; do
    program "$work/build/$name" << 'E'
case "$* ${CUDA_FORCE_PTX_JIT:+ptx}" in ${BAD_CASE:-none}) echo "raw_windows OUT OF BOUNDS"; exit 1 ;; esac
echo ok
E
done
program "$work/build/bench_network" <<< 'echo "vits 518x518 cuda sm_90 wgmma f16 code_90 13.0 2200.0 output frames/s weights 57 features 197 activations 186 MiB"'
touch "$work/build/isobath_cuda.so"
export JOBS=8

bad=0
wrong() { echo "gpu_check: $1"; cat "$work/log"; bad=1; }
run() { # STATUS [VARIABLE=VALUE ...] ARGUMENTS...
    local wanted=$1 rc given=()
    shift
    while [ $# -gt 0 ] && [[ $1 = *=* ]]; do given+=("$1"); shift; done
    env -u CUDA_VISIBLE_DEVICES -u ISOBATH_CUDA_MODULE -u PTX_MODULE -u LOGS ${given[@]+"${given[@]}"} PATH="$work/bin:$PATH" \
        "$source_dir/tools/gpu-check.sh" --build "$work/build" --ready "$@" > "$work/log" 2>&1
    rc=$?
    [ $rc = "$wanted" ] || wrong "'$*' ends with status $rc instead of $wanted"
}
has() { grep -Eq "$1" "$work/log" || wrong "no line with '$1'"; }
rows() { awk -v name="$1" '/^gpu-check: / {seen = 1} seen && index($2, name) == 1' "$work/log" | wc -l; }

run 0
has '^gpu-check: [0-9]+ ok, 0 failed, '
has '^ok    checkop-bf16-wgmma '
has '^ok    oracle-tiny_7_112_120_160_98-bf16 '
has '^ok    ptx75-checkop-f16 '
has '^ok    ptx75-oracle-tiny_7_112_120_160_98-f16 '
has '^ok    racecheck-linear '
has '^-     network-vitl-924x518-f16 .*2200.0 output frames/s'
has '^skip  guard .* the build has no isobath'
has '^VDA-L 518x518 .* ok'
cases=$(find "$source_dir/tests/oracle/data/" -name '*.safetensors' | wc -l)
small=$(find "$source_dir/tests/oracle/data/" -name '*tiny_*.safetensors' -o -name '*vits_*.safetensors' | wc -l)
[ "$(rows oracle-)" = $((cases * 3)) ] || wrong "not every case has three rows"
[ "$(rows ptx75-oracle-)" = $((small * 2)) ] || wrong "not every small case has two rows with PTX"

run 1 BAD_CASE='tiny_7*act f16*ptx' --steps "ptx oracles"
has '^FAIL  ptx75-oracle-tiny_7_112_120_160_98-f16 .*OUT OF BOUNDS'
has '^gpu-check: [0-9]+ ok, 1 failed, '
run 1 BAD_OP='*--act f16 mma' --steps ops
has '^FAIL  checkop-f16-mma '
has '^gpu-check: [0-9]+ ok, 1 failed, '
run 2 --steps "ops nonsense"
has 'no step is called nonsense'
run 2 --nonsense
run 0 --steps ops
run 0 --steps oracles --add
has '^ok    checkop-f32-simt '
has '^ok    oracle-tiny_7_112_120_160_98-f32 '
program "$work/bin/nvidia-smi" <<< 'exit 9'
run 1
has 'no NVIDIA driver or card answers here'
[ $bad = 0 ] && echo "gpu_check: every row as it should be"
exit $bad

# Part of tools/gpu-check.sh: the card, the build (or the finished one that --ready names), its programs, and what they can do here.
# Gives: card query cores build find_program checkop isobath synth oracle stream network ISOBATH_CUDA_MODULE capability paths

if ! command -v nvidia-smi > /dev/null || ! nvidia-smi -L > /dev/null 2>&1; then
    echo "gpu-check: no NVIDIA driver or card answers here (nvidia-smi -L): nothing was checked" >&2
    exit 1
fi
card=${CUDA_VISIBLE_DEVICES:-0} # as nvidia-smi -i takes it: a number or a name
card=${card%%,*}
query() { nvidia-smi -i "$card" --query-gpu="$1" --format=csv,noheader,nounits 2> /dev/null | head -n 1; }

cores=$(taskset -p $$ 2> /dev/null | awk '{m = tolower($NF); gsub(/[^0-9a-f]/, "", m); n = 0
    for (i = 1; i <= length(m); i++) { d = index("0123456789abcdef", substr(m, i, 1)) - 1; while (d > 0) { n += d % 2; d = int(d / 2) } } print n}')
[ "${cores:-0}" -gt 0 ] || cores=$(nproc)
if [ -z "$ready" ]; then
    options="-DISOBATH_CUDA=ON -DCMAKE_BUILD_TYPE=Release -DISOBATH_CUDA_ARCHS=${ARCHS:-}"
    configured=$(mktemp)
    if ! cmake -S "$root" -B "$build" $options > "$configured" 2>&1; then
        echo "gpu-check: the libraries of the command are missing here (tools/packages.txt): only the ops are built and checked"
        cmake -S "$root" -B "$build" $options -DISOBATH_OPS_ONLY=ON > "$configured" 2>&1 || { cat "$configured" >&2; rm -f "$configured"; exit 1; }
    fi
    rm -f "$configured"
    timeout "${BUILD_LIMIT:-3600}" cmake --build "$build" -j "$cores" > "$build/build.log" 2>&1 ||
        { tail -n 20 "$build/build.log" >&2; echo "gpu-check: the build failed" >&2; exit 1; }
fi
build=$(cd "$build" 2> /dev/null && pwd) || { echo "gpu-check: there is no build (--build DIR)" >&2; exit 1; }
find_program() { find "$build" -name "$1" -type f -perm -u+x | head -n 1; }
checkop=$(find_program checkop)
export ISOBATH_CUDA_MODULE=${ISOBATH_CUDA_MODULE:-$(find "$build" -name isobath_cuda.so | head -n 1)}
[ -n "$checkop" ] && [ -n "$ISOBATH_CUDA_MODULE" ] || { echo "gpu-check: $build has no checkop or no isobath_cuda.so" >&2; exit 1; }
isobath=$(find_program isobath)
synth=$(find_program isobath_synth)
oracle=$(find_program oracle_case)
stream=$(find_program oracle_stream)
network=$(find_program bench_network)
capability=$(query compute_cap)
paths=simt
[ "${capability%.*}" -ge 8 ] && paths="simt mma"
[ "$capability" = 9.0 ] && paths="simt mma wgmma"

starts_here() { # a row for each program that lacks libraries
    local program missing
    for program in "$checkop" "$isobath" "$oracle" "$network"; do
        [ -n "$program" ] || continue
        missing=$(ldd "$program" 2> /dev/null | awk '/not found/ {printf " %s", $1}')
        [ -z "$missing" ] || row FAIL "$(basename "$program")" 0 "does not start here, libraries are missing:$missing (LD_LIBRARY_PATH)"
    done
}

#!/bin/bash
# Everything that a CUDA machine can tell about isobath, in one go: every op on every path, the expected values of the reference, the window
# guard, memory (also when it runs out in mid-run), decoders against each other, compute-sanitizer, the speed of ops, of networks and of the whole
# command, and the reference itself beside them where PyTorch and a checkout of it are there. Prints one table last, and below it the goals with what
# was measured; exits non-zero when anything failed. What could not be run stands in the table as "skip".
# usage: tools/gpu-check.sh [--build DIR] [--ready] [--clip FILE] [--reference CHECKOUT] [--models "vits vitl"] [--steps "ops oracles ..."] [--add]
#   --build DIR        build here (default build-gpu-check); ARCHS="90a-real;75-virtual" limits the targets of the module
#   --ready            DIR holds a finished build: nothing is compiled (LD_LIBRARY_PATH names libraries that the system lacks)
#   --clip FILE        an H.264 file for the whole command (tools/whole-command.sh); raw .h264 is repeated to make it long; without it one is made
#   --reference DIR    a checkout of the PyTorch implementation of Video Depth Anything, timed by bench/reference.py with the same weights; torch.compile
#                      of it begins at once, beside the checks, and stands still while memory and speed are measured
#   --steps LIST       of: ptx ops oracles sanitizer guard decode speed whole kernels reference; default all of them
#   --add              the rows are added to those of an earlier call
# The steps speed, whole and reference want the card for themselves; the others may share it.
# TOTAL_LIMIT: seconds for everything, from which the last steps (whole, reference) take what is left. Steps have limits of their own: BUILD_LIMIT CHECK_LIMIT SANITIZER_LIMIT SPEED_LIMIT WHOLE_LIMIT REFERENCE_LIMIT; JOBS checks run at once.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build-gpu-check
ready= add= clip= reference= models="vits vitl"
steps="ptx ops oracles sanitizer guard decode speed whole kernels reference"
while [ $# -gt 0 ]; do
    case $1 in
    --ready) ready=1 ;;
    --add) add=1 ;;
    --build | --clip | --reference | --models | --steps)
        [ $# -gt 1 ] || { echo "gpu-check: $1 needs a value" >&2; exit 2; }
        case $1 in
        --build) build=$2 ;;
        --clip) clip=$2 ;;
        --reference) reference=$2 ;;
        --models) models=$2 ;;
        --steps) steps=$2 ;;
        esac
        shift
        ;;
    *) echo "gpu-check: $1 is not an option; the first lines of $0 say what is" >&2; exit 2 ;;
    esac
    shift
done
for step in $steps; do
    case " ptx ops oracles sanitizer guard decode speed whole kernels reference " in *" $step "*) ;; *) echo "gpu-check: no step is called $step" >&2; exit 2 ;; esac
done
wanted() { case " $steps " in *" $1 "*) return 0 ;; esac; return 1; }

if ! command -v nvidia-smi > /dev/null || ! nvidia-smi -L > /dev/null 2>&1; then
    echo "gpu-check: no NVIDIA driver or card answers here (nvidia-smi -L): nothing was checked" >&2
    exit 1
fi
card=${CUDA_VISIBLE_DEVICES:-0} # as nvidia-smi -i takes it: a number or a name
card=${card%%,*}
query() { nvidia-smi -i "$card" --query-gpu="$1" --format=csv,noheader,nounits 2> /dev/null | head -n 1; }

# ---- the build
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
logs=${LOGS:-$build/gpu-check}
[ -n "$add" ] || rm -rf "$logs"
mkdir -p "$logs" || exit 1
[ -z "$add" ] || sed -i '/not among --steps$/d' "$logs/table.txt"
work=$(mktemp -d /dev/shm/isobath-check-XXXXXX) || work=$(mktemp -d) || exit 1
trap 'compiling KILL; kill $(jobs -p) 2> /dev/null; rm -rf "$work"' EXIT
trap 'kill $(jobs -p) 2> /dev/null; row FAIL gpu-check "" "stopped from outside"; finish; conclude' TERM INT
began=$(date +%s)

# ---- results: a line of the table each, kept in files so that checks may run side by side
failed=0
row() { # ok|FAIL|skip|- NAME SECONDS TEXT
    [ -z "$add" ] || [ "$4" != "not among --steps" ] || return 0
    printf '%-4s  %-38s %5s  %s\n' "$1" "$2" "$3" "$4" | tee -a "$logs/table.txt"
    [ "$1" = FAIL ] && failed=1
    return 0
}
# Passes when the command does and its log has PATTERN (a check that checked nothing fails). Prints the line of the table for finish().
judge() { # NAME LIMIT PATTERN COMMAND...
    local name=$1 limit=$2 pattern=$3 start rc last bad state
    start=$(date +%s)
    shift 3
    if [ "$1" = ptx ]; then shift && ptx timeout -k 5 "$limit" "$@" > "$logs/$name.log" 2>&1
    else timeout -k 5 "$limit" "$@" > "$logs/$name.log" 2>&1; fi
    rc=$?
    last=$(grep -v '^$' "$logs/$name.log" | tail -n 1)
    bad=$(grep -m 1 -E 'OUT OF BOUNDS|^FAIL|hazard detected|Error:|Invalid' "$logs/$name.log" | sed 's/  */ /g')
    if [ $rc = 124 ] || [ $rc = 137 ]; then state=FAIL last="stopped after $limit s: $last"
    elif grep -q 'Device not supported' "$logs/$name.log"; then state=skip last="compute-sanitizer: this driver or virtual machine does not support it"
    elif [ $rc = 0 ] && grep -Eq "$pattern" "$logs/$name.log"; then state=ok
    else state=FAIL last="status $rc: ${bad:+$bad: }$last"; fi
    printf '%s\t%s\t%s\t%s\n' "$state" "$name" $(($(date +%s) - start)) "${last:0:220}"
}
# Runs a function in the background when one of JOBS places is free; what it prints goes to the table at the place of its start.
order=0
start_job() {
    order=$((order + 1))
    while [ "$(jobs -rp | wc -l)" -ge "$places" ]; do wait -n; done
    "$@" > "$work/$(printf %04d $order).result" &
}
check() { start_job judge "$@"; }
finish() { # waits for all that runs and puts it into the table, in the order of starting
    wait
    local file state name seconds text
    for file in "$work"/*.result; do
        [ -e "$file" ] || continue
        while IFS=$'\t' read -r state name seconds text; do row "$state" "$name" "$seconds" "$text"; done < "$file"
        rm -f "$file"
    done
}
# A figure of the last table: kept as KEY VALUE, looked up by KEY.
figure() { printf '%s %s\n' "$1" "$2" >> "$logs/figures.txt"; }
value() { awk -v k="$1" '$1 == k {v = $2} END {print v}' "$logs/figures.txt" 2> /dev/null; }
larger() { awk -v a="${1:-0}" -v b="${2:-0}" 'BEGIN {print (a + 0 > b + 0 ? a : b)}'; }
goals() { # what a card of the H100's kind is to reach; "-": not measured in this run
    [ -s "$logs/figures.txt" ] || return 0
    printf '\n%-50s %9s %9s  %-4s  %s\n' goal wanted measured "" "PyTorch in this run: plain, best (ratio)"
    local key what wanted sign plain best seen variant
    while IFS='|' read -r key what wanted sign; do
        seen=$(value "$key") plain=$(value "plain-$key") best=0
        for variant in plain fused blocks compiled; do best=$(larger "$best" "$(value "$variant-$key")"); done
        [ "${sign}" = most ] && best=$(value "least-$key")
        awk -v what="$what" -v seen="$seen" -v wanted="$wanted" -v sign="$sign" -v plain="$plain" -v best="$best" 'BEGIN {
            mark = seen == "" ? "-" : (sign == "least" ? seen + 0 >= wanted + 0 : seen + 0 <= wanted + 0) ? "ok" : "SHORT"
            other = ""
            if (plain != "") other = sprintf("%s, %s", plain, best)
            if (plain != "" && seen != "" && seen > 0 && best > 0) other = other sprintf(" (%.1f, %.1f times)", sign == "least" ? seen / plain : plain / seen, sign == "least" ? seen / best : best / seen)
            printf "%-50s %s%8s %9s  %-5s %s\n", what, sign == "least" ? ">" : "<", wanted, seen == "" ? "-" : seen, mark, other }'
    done << 'GOALS'
vits-518x518-f16|VDA-S 518x518 fp16, network, output frames/s|2000|least
vits-924x518-f16|VDA-S 518x924|1000|least
vitl-518x518-f16|VDA-L 518x518|300|least
vitl-924x518-f16|VDA-L 518x924|150|least
vits-518x518-f32|VDA-S fp32 518x518, no TF32 rounding|350|least
whole-vits|VDA-S 1280x720 H.264 to png16, whole command|800|least
whole-vitl|VDA-L, the same|125|least
memory-vits-924x518-f16|VDA-S 518x924 fp16, peak of the arena, GiB|1.0|most
memory-vitl-924x518-f16|VDA-L 518x924 fp16, peak of the arena, GiB|4.0|most
capped-vitl|VDA-L 518x924 fp16 with fp32 redo, process, GiB|5.5|most
GOALS
    printf 'process totals beside the arenas: VDA-S 518x924 %s GiB, VDA-L 518x924 %s GiB\n' "$(value process-vits-924x518-f16)" "$(value process-vitl-924x518-f16)"
}
conclude() { # the table and the verdict
    echo
    echo "gpu-check: $(date -u +%Y-%m-%d), $(git -C "$root" rev-parse --short HEAD 2> /dev/null || echo "no commit known"), $(($(date +%s) - began)) s"
    cat "$logs/table.txt"
    goals
    echo
    ! grep -q '^FAIL' "$logs/table.txt" || failed=1
    local counts
    counts=$(awk '{n[$1]++} END {printf "%d ok, %d failed, %d skipped", n["ok"], n["FAIL"], n["skip"]}' "$logs/table.txt")
    if [ $failed = 0 ]; then echo "gpu-check: $counts"; else echo "gpu-check: $counts; logs in $logs"; fi
    exit $failed
}
passed='^[1-9][0-9]* passed, 0 failed'
# Runs a long command so that a signal to this script is obeyed at once and not after it.
waited() { "$@" & wait $!; }
# The smaller of a step's limit and what is left of TOTAL_LIMIT (seconds for everything; none by default).
within() { awk -v limit="$1" -v total="${TOTAL_LIMIT:-0}" -v gone=$(($(date +%s) - began)) 'BEGIN {left = total - gone; print total == 0 || limit < left ? limit : left < 1 ? 1 : left}'; }

# PyTorch compiles the reference in processes of their own, one a model; compiling STOP|CONT|KILL|0 signals all of them.
compilers=()
compiling() { local p rc=1; for p in ${compilers[@]+"${compilers[@]}"}; do kill -"$1" -- "-$p" 2> /dev/null && rc=0; done; return $rc; }
if wanted reference && [ -n "$reference" ] && python3 -c 'import torch; assert torch.cuda.is_available()' > /dev/null 2>&1; then
    for model in $models; do
        setsid python3 "$root/bench/reference.py" "$reference" --models "$model" --variants compiled --hold "$work/measure-$model" \
            > "$logs/compiled-$model.log" 2> "$logs/compiled-$model.err" &
        compilers+=($!)
        disown $! # nobody waits for it but the step reference
    done
fi

isobath=$(find_program isobath)
synth=$(find_program isobath_synth)
oracle=$(find_program oracle_case)
stream=$(find_program oracle_stream)
network=$(find_program bench_network)
for program in "$checkop" "$isobath" "$oracle" "$network"; do
    [ -n "$program" ] || continue
    missing=$(ldd "$program" 2> /dev/null | awk '/not found/ {printf " %s", $1}')
    [ -z "$missing" ] || row FAIL "$(basename "$program")" 0 "does not start here, libraries are missing:$missing (LD_LIBRARY_PATH)"
done
row - card 0 "$(query name,driver_version,memory.total) MiB, compute capability $(query compute_cap); $cores cores"
capability=$(query compute_cap)
paths=simt
[ "${capability%.*}" -ge 8 ] && paths="simt mma"
[ "$capability" = 9.0 ] && paths="simt mma wgmma"
limit=${CHECK_LIMIT:-300} # for sixteen cores: the expected values are computed on them
[ "$cores" -ge 16 ] || limit=$((limit * 16 / cores))
places=${JOBS:-$(query memory.total | awk -v cores="$cores" '{n = int($1 / 1500); print n < 1 ? 1 : n < cores ? n : cores}')} # 1,500 MiB a check

# ---- the PTX for the oldest cards, compiled for this one with every other image left out
ptx() { env CUDA_FORCE_PTX_JIT=1 CUDA_CACHE_DISABLE=1 ISOBATH_CUDA_MODULE="${PTX_MODULE:-$ISOBATH_CUDA_MODULE}" "$@"; }
compile_ptx() { # the same short run with the module's own code and with its PTX
    local start times=() how
    for how in env ptx; do
        start=$(date +%s%N)
        $how timeout "$limit" "$network" --backend cuda --model tiny --source 98x98 --windows 2 --repeat 1 > "$logs/ptx-$how.log" 2>&1
        times+=($((($(date +%s%N) - start) / 1000000)))
    done
    printf '%s\t%s\t%s\t%s\n' - ptx-compile $((times[1] / 1000)) "a short run takes ${times[0]} ms, ${times[1]} ms where the driver compiles the PTX of compute_75 first (once: it keeps the result)"
}
if ! wanted ptx; then row skip ptx 0 "not among --steps"
elif ! cuobjdump --list-ptx "${PTX_MODULE:-$ISOBATH_CUDA_MODULE}" 2> /dev/null | grep -q sm_75; then
    row skip ptx 0 "the module holds no PTX of compute_75 (PTX_MODULE=FILE names one that does), or there is no cuobjdump to tell"
else
    [ -z "$network" ] || start_job compile_ptx
    for act in f32 f16; do check "ptx75-checkop-$act" "$limit" "$passed" ptx "$checkop" --backend cuda --act $act; done
fi

# ---- every op on every path, and equal bytes at every batch and position
if wanted ops; then
    for act in f32 f16 bf16; do
        for path in $paths; do check "checkop-$act-$path" "$limit" "$passed" env ISOBATH_CUDA_PATH=$path "$checkop" --backend cuda --act $act; done
        check "invariance-$act" "$limit" "$passed" "$checkop" invariance --backend cuda --act $act
    done
else
    row skip ops 0 "not among --steps"
fi

# ---- expected values of the reference
half_bounds() { # the bounds of f16 and bf16; an overflow is the guard's business, inner values have no bound
    case $1 in
    f16) echo "--no-taps --median 5e-4 --p9999 3e-3 --worst 5.2e-3" ;;
    bf16) echo "--no-taps --median 3e-3 --p9999 2.7e-2 --worst 5.2e-2" ;;
    esac
}
if ! wanted oracles; then row skip oracles 0 "not among --steps"
elif [ -z "$oracle" ]; then row skip oracles 0 "the build has no oracle_case"
else
    for file in "$root"/tests/oracle/data/*.safetensors; do
        name=$(basename "$file" .safetensors) program=$oracle
        case $name in *_stream) program=$stream ;; esac
        [ -n "$program" ] || { row skip "oracle-$name" 0 "the build has no oracle_stream"; continue; }
        for act in f32 f16 bf16; do
            check "oracle-$name-$act" "$limit" '^ok$' "$program" "$name" --backend cuda --act $act --threads 2 $(half_bounds $act)
        done
    done
fi

# ---- compute-sanitizer
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
finish

# ---- guard and memory: a checkpoint whose activations overflow fp16; the network of VDA-L where 5.5 GiB is all there is
most_memory() { # COMMAND...: runs it, prints the most memory of the card meanwhile, MiB
    local most=0 now rc
    "$@" &
    while kill -0 $! 2> /dev/null; do
        now=$(query memory.used)
        [ "${now:-0}" -gt "$most" ] 2> /dev/null && most=$now
        sleep "${EVERY:-0.1}"
    done
    wait $!
    rc=$?
    echo "$most"
    return $rc
}
compiling STOP # memory is measured from here on, then speed
if ! wanted guard; then row skip guard 0 "not among --steps"
elif [ -z "$isobath" ] || [ -z "$synth" ]; then row skip guard 0 "the build has no isobath, only the ops"
else
    "$synth" frames 1 "$work/clip.rgb" 44 360 640
    guarded() { # NAME CHECKPOINT ARGUMENTS...
        local name=$1 checkpoint=$2
        shift 2
        timeout "$limit" "$isobath" run "$work/clip.rgb" --raw 640x360:rgb24:25 -o "$work/$name" --name out --format png16 --model "$work/$checkpoint.safetensors" \
            --devices cuda:0 --overwrite "$@" > "$logs/guard-$name.log" 2>&1
    }
    same() { # ROW A B
        if [ -e "$work/$2/out_isobath.json" ] && diff -rq "$work/$2/out_depths_png16" "$work/$3/out_depths_png16" > "$logs/$1.log" 2>&1; then
            row ok "$1" "$4" "$(ls "$work/$2/out_depths_png16" | wc -l) files equal those of fp32; $(grep -c '"redone"' "$work/$2/out_isobath.json") windows redone"
        else row FAIL "$1" "$4" "$(tail -n 1 "$logs/guard-$2.log") $(head -n 1 "$logs/$1.log")"; fi
    }
    for model in $models; do
        "$synth" "$model-overflow" 1 "$work/overflow.safetensors" || row FAIL "guard-$model" 0 "no checkpoint"
        guarded fp32 overflow --precision fp32
        if [ "$model" = vitl ]; then
            start=$(date +%s) before=$(query memory.used)
            most=$(most_memory guarded capped overflow --precision fp16 --device-memory 5.5G)
            same guard-vitl-in-5.5-GiB capped fp32 $(($(date +%s) - start))
            most=$((${most:-999999} - before))
            figure capped-vitl "$(awk -v m="$most" 'BEGIN {printf "%.2f", m / 1024}')"
            [ "$most" -le 5632 ] && row ok memory-vitl-in-5.5-GiB 0 "the card held $most MiB more than before at most (5632 allowed), fp32 redo included" ||
                row FAIL memory-vitl-in-5.5-GiB 0 "the card held $most MiB more than before, 5632 are allowed"
            grep -q '"redone"' "$work/capped/out_isobath.json" 2> /dev/null || row FAIL "guard-$model" 0 "no window was redone: the checkpoint does not overflow"
            continue
        fi
        for precision in fp16 auto; do
            start=$(date +%s)
            guarded $precision overflow --precision $precision
            same "guard-$model-$precision" $precision fp32 $(($(date +%s) - start))
        done
        if [ "$model" = vits ]; then # out of memory in mid-run: a smaller plan from there on
            start=$(date +%s)
            ISOBATH_WORKER_TEST=always,window=1,short guarded short overflow --precision fp32
            same memory-ends-in-mid-run short fp32 $(($(date +%s) - start))
            grep -q '"smaller_plan"' "$work/short/out_isobath.log.jsonl" 2> /dev/null || row FAIL memory-ends-in-mid-run 0 "the run did not say that it took a smaller plan"
        fi
        if ! grep -q '"redone"' "$work/fp16/out_isobath.json" 2> /dev/null; then row FAIL "guard-$model" 0 "no window was redone: the checkpoint does not overflow"; fi
    done
    rm -rf "$work"/fp* "$work/auto" "$work/capped" "$work/short"
    scarce=$(find_program unit_compute_memory)
    if [ -z "$scarce" ]; then row skip memory-taken-by-others 0 "the build has no unit_compute_memory"
    else
        places=1 # each takes all of the card for a moment
        for act in f16 bf16 f32; do check memory-taken-by-others-$act "$limit" 'PASSED  . 5 test' env -C "$work" "$scarce" cuda $act; done
        finish
    fi
fi

# ---- decoders: the card's against software's, frame by frame, on field-coded streams too
if ! wanted decode; then row skip decode 0 "not among --steps"
elif compare=$(find_program compare_decoders) && [ -n "$compare" ]; then
    mkdir -p "$work/fields"
    check decode-fields "$limit" '^[1-9][0-9]* frames by the card, equal' "$compare" --fields "$work/fields"
    [ -z "$clip" ] || check decode-clip "$limit" '^[1-9][0-9]* frames by the card, equal' "$compare" "$clip"
    finish
else row skip decode 0 "the build has no compare_decoders"
fi

# ---- speed: the network, the whole command, every kernel
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
repeat=
if [ -z "$clip" ] && { wanted whole || wanted reference; } && compare=$(find_program compare_decoders) && [ -n "$compare" ] &&
    "$compare" --clip "$work/clip.h264" 200 > "$logs/clip.log" 2>&1; then clip=$work/clip.h264 repeat=32; fi
if ! wanted whole; then row skip whole-command 0 "not among --steps"
elif [ -z "$isobath" ]; then row skip whole-command 0 "the build has no isobath, only the ops"
else
    start=$(date +%s)
    MODELS="$models" LARGE_CAP=no REPEAT="${REPEAT:-$repeat}" waited timeout -k 5 "$(within "${WHOLE_LIMIT:-600}")" "$root/tools/whole-command.sh" "$build" $clip \
        > "$logs/whole-command.log" 2>&1
    rc=$?
    while read -r word rest; do
        case $word in
        ok | FAIL) row "$word" "whole-command" "" "$rest" ;;
        *)
            row - "whole-$word" "" "$(echo "$rest" | sed 's/  */ /g')"
            case $word in *-fp16-auto) figure "whole-${word%%-*}" "$(echo "$rest" | grep -o '([0-9.]* from start' | tr -d '( a-z')" ;; esac
            ;;
        esac
    done < "$logs/whole-command.log"
    [ $rc = 0 ] || row FAIL whole-command $(($(date +%s) - start)) "status $rc (124: stopped after ${WHOLE_LIMIT:-600} s)"
fi
if ! wanted kernels; then row skip kernels 0 "not among --steps"
else
    for program in gpu_ops gpu_attention; do
        binary=$(find_program $program)
        [ -n "$binary" ] || { row skip $program 0 "is not in the build"; continue; }
        timeout "${SPEED_LIMIT:-300}" "$binary" --act f16 --frames 11 > "$logs/$program.log" 2>&1 && row - $program "" "$(wc -l < "$logs/$program.log") lines in $program.log" ||
            row FAIL $program "" "$(tail -n 1 "$logs/$program.log")"
    done
fi

# ---- the reference, on this card, with the same weights
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

conclude

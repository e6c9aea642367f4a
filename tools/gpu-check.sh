#!/bin/bash
# Everything that a CUDA machine can tell about isobath, in one go: every op on every path, the expected values of the reference, the window
# guard, memory (also when it runs out in mid-run), decoders against each other, compute-sanitizer, the speed of ops, of networks and of the whole
# command, and the reference itself beside them where PyTorch and a checkout of it are there. Prints one table last, and below it the goals with what
# was measured; exits non-zero when anything failed. What could not be run stands in the table as "skip".
# The parts in tools/gpu-check/ have a step or a purpose each; this file reads them in order.
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

source "$root/tools/gpu-check/build.sh"
logs=${LOGS:-$build/gpu-check}
[ -n "$add" ] || rm -rf "$logs"
mkdir -p "$logs" || exit 1
[ -z "$add" ] || sed -i '/not among --steps$/d' "$logs/table.txt"
work=$(mktemp -d /dev/shm/isobath-check-XXXXXX) || work=$(mktemp -d) || exit 1
began=$(date +%s)
source "$root/tools/gpu-check/table.sh"
source "$root/tools/gpu-check/goals.sh"
source "$root/tools/gpu-check/reference.sh"
trap 'compiling KILL; kill $(jobs -p) 2> /dev/null; rm -rf "$work"' EXIT
trap 'kill $(jobs -p) 2> /dev/null; row FAIL gpu-check "" "stopped from outside"; finish; conclude' TERM INT

reference_begin
starts_here
row - card 0 "$(query name,driver_version,memory.total) MiB, compute capability $capability; $cores cores"
limit=${CHECK_LIMIT:-300} # for sixteen cores: the expected values are computed on them
[ "$cores" -ge 16 ] || limit=$((limit * 16 / cores))
places=${JOBS:-$(query memory.total | awk -v cores="$cores" '{n = int($1 / 1500); print n < 1 ? 1 : n < cores ? n : cores}')} # 1,500 MiB a check

for part in ptx ops oracles sanitizer; do source "$root/tools/gpu-check/$part.sh"; done
ptx_oracles
finish
compiling STOP # memory is measured from here on, then speed
for part in guard decode speed whole kernels; do source "$root/tools/gpu-check/$part.sh"; done
reference_measure
conclude

# Part of tools/gpu-check.sh, step whole: the whole command (tools/whole-command.sh), with a clip that is made when none is named.

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

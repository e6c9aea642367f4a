# Part of tools/gpu-check.sh: the table. Checks run side by side and leave a line each in a file of $work; finish puts them into the
# table in the order of starting. Figures that the goals want are kept in $logs/figures.txt.

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

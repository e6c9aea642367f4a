# Part of tools/gpu-check.sh: what a card of the H100's kind is to reach, beside what was measured and what PyTorch reached in the
# same run; "-": not measured in this run.

goals() {
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

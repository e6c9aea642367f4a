# A strict reader of Prometheus' text exposition format 0.0.4: exits 1 at the first line that is none.
function wrong(why) { print "line " NR ": " why ": " $0; bad = 1; exit 1 }
BEGIN { name = "^[a-zA-Z_:][a-zA-Z0-9_:]*$" }
/^# HELP / {
    if ($3 !~ name) wrong("no metric name")
    if ($3 in help) wrong("a second HELP")
    help[$3] = 1
    next
}
/^# TYPE / {
    if (!($3 in help)) wrong("TYPE without HELP")
    if ($3 in type) wrong("a second TYPE, or samples that are not together")
    if ($4 !~ /^(counter|gauge|histogram|summary|untyped)$/ || NF != 4) wrong("unknown type")
    if ($4 == "counter" && $3 !~ /_total$/) wrong("a counter that is not called _total")
    type[$3] = $4
    current = $3
    next
}
/^#/ || /^$/ { wrong("neither HELP nor TYPE nor a sample") }
{
    line = $0
    if (!match(line, /^[a-zA-Z_:][a-zA-Z0-9_:]*/)) wrong("no metric name")
    metric = substr(line, 1, RLENGTH)
    if (metric != current) wrong("a sample outside its group")
    line = substr(line, RLENGTH + 1)
    labels = ""
    if (substr(line, 1, 1) == "{") {
        line = substr(line, 2)
        while (match(line, /^[a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\["\\n])*"/)) {
            labels = labels "," substr(line, 1, RLENGTH)
            line = substr(line, RLENGTH + 1)
            if (substr(line, 1, 1) == ",") line = substr(line, 2)
        }
        if (substr(line, 1, 1) != "}") wrong("labels that do not end")
        line = substr(line, 2)
    }
    if (line !~ /^ [-+]?([0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?|Inf|NaN)$/) wrong("no value")
    if ((metric labels) in seen) wrong("the same sample twice")
    seen[metric labels] = 1
    count++
}
END { if (!bad) print count " samples" }

#!/bin/sh
# docs/TROUBLESHOOTING.md quotes messages as the program prints them: each piece between "..." is in the sources, so that a message
# that changes takes its explanation along. usage: messages.sh SOURCE
set -u
cd "$1" || exit 1
# string literals that span lines are joined, escapes undone
text=$(mktemp "${TMPDIR:-/tmp}/isobath-messages-XXXXXX")
trap 'rm -f "$text" "$text.quotes"' EXIT
find src cli \( -name '*.c' -o -name '*.cu' -o -name '*.h' \) -exec cat {} + | tr '\n' ' ' | sed 's/" *"//g; s/\\"/"/g' > "$text"
sed -n 's/^#### `\(.*\)`$/\1/p' docs/TROUBLESHOOTING.md > "$text.quotes"
failed=0 count=0
while IFS= read -r quote; do
    rest=$quote
    while [ -n "$rest" ]; do
        piece=${rest%%...*}
        case $rest in *...*) rest=${rest#*...} ;; *) rest= ;; esac
        case $piece in ''|' '|?|??) continue ;; esac
        count=$((count + 1))
        grep -qF -- "$piece" "$text" || { echo "FAILED: no source has \"$piece\" (of: $quote)"; failed=1; }
    done
done < "$text.quotes"
[ "$count" -ge 60 ] || { echo "FAILED: only $count pieces found"; failed=1; }
[ $failed = 0 ] && echo "$count pieces found"
exit $failed

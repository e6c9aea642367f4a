# Sourced by the scripts that test the command: a folder of their own, counters, and `expect`.
dir=$(mktemp -d "${TMPDIR:-/tmp}/isobath-test-XXXXXX")
trap 'rm -rf "$dir"' EXIT
passed=0
failed=0

# expect CODE TEXT COMMAND...: exit code, and TEXT somewhere in the output
expect() {
    code=$1 text=$2
    shift 2
    out=$("$@" 2>&1 < /dev/null)
    got=$?
    if [ $got != "$code" ] || ! printf '%s' "$out" | grep -qF -- "$text"; then
        echo "FAILED: $*"
        echo "  expected exit $code and \"$text\"; got $got and: $out"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
}

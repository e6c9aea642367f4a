#!/bin/sh
# What `make install` puts there, used as a stranger would: the command finds its model, man pages and completion work, every
# public header stands alone, and the example builds through pkg-config and gives the command's bytes.
# usage: install.sh CMAKE BUILD SOURCE SYNTH SANITIZE
set -u
cmake=$1 build=$2 source=$3 synth=$4 sanitize=$5
dir=$(mktemp -d "${TMPDIR:-/tmp}/isobath-install-XXXXXX")
trap 'rm -rf "$dir"' EXIT
failed=0
fail() {
    echo "FAILED: $*"
    failed=1
}

"$cmake" --install "$build" --prefix "$dir/usr" > "$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
usr=$dir/usr
mkdir "$dir/home"
unset ISOBATH_MODELS XDG_CACHE_HOME
export HOME="$dir/home"

# the command
case $("$usr/bin/isobath" --version) in "isobath 0."*) ;; *) fail "--version" ;; esac
if ls "$source"/assets/models/*.safetensors > /dev/null 2>&1; then
    "$usr/bin/isobath" models | grep -q "^nano .*share/isobath/models/nano.safetensors" || fail "models: $("$usr/bin/isobath" models)"
fi

# man pages: one for each command of --help, with each of its options
for command in $("$usr/bin/isobath" --help | sed -n 's/^  \([a-z][a-z]*\)  *.*/\1/p' | grep -v '^isobath$'); do
    page=$usr/share/man/man1/isobath-$command.1
    [ -s "$page" ] || { fail "no man page of $command"; continue; }
    grep -q "isobath\\\\-$command" "$usr/share/man/man1/isobath.1" || fail "isobath.1 lacks $command"
    for option in $("$usr/bin/isobath" "$command" --help | sed -n 's/^  \(-., \|    \)\(--[a-z-]*\).*/\2/p'); do
        grep -qF -- "fB$(printf '%s' "$option" | sed 's/-/\\-/g')\\fR" "$page" || fail "$page lacks $option"
    done
done
if command -v man > /dev/null 2>&1; then
    warnings=$(MANWIDTH=100 man --warnings -E UTF-8 -l "$usr/share/man/man1/isobath-run.1" 2>&1 > "$dir/run.txt")
    [ -z "$warnings" ] || fail "man: $warnings"
fi

# completion
if command -v bash > /dev/null 2>&1; then
    complete() {
        bash -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _isobath; printf "%s " "${COMPREPLY[@]}"' \
            "$usr/share/bash-completion/completions/isobath" "$@"
    }
    case $(complete isobath ru) in "run ") ;; *) fail "completion of ru: $(complete isobath ru)" ;; esac
    case $(complete isobath run --max-f) in "--max-frames ") ;; *) fail "completion of --max-f: $(complete isobath run --max-f)" ;; esac
    case $(complete isobath run --guard o) in "on off ") ;; *) fail "completion of --guard: $(complete isobath run --guard o)" ;; esac
fi

# the library
export PKG_CONFIG_PATH="$usr/lib/pkgconfig"
flags=$(pkg-config --cflags isobath) || fail "pkg-config --cflags"
libs=$(pkg-config --libs isobath) || fail "pkg-config --libs"
cc=${CC:-cc}
[ -z "$sanitize" ] || flags="$flags -fsanitize=$sanitize"
for header in "$usr"/include/isobath/*.h; do
    echo "#include <isobath/$(basename "$header")>" | $cc -std=c99 -Wall -Wextra -Wpedantic -Werror $flags -x c -fsyntax-only - || fail "$header"
done
$cc -std=c99 -Wall -Wextra -Werror $flags "$usr/share/doc/isobath/examples/depth.c" $libs -o "$dir/depth" || exit 1
[ "$(grep -c '' "$source/examples/depth.c")" -le 45 ] || fail "the example has grown"
"$synth" tiny 1 "$dir/tiny.safetensors" || exit 1
{
    printf 'YUV4MPEG2 W32 H16 F25:1 Ip A1:1 C420jpeg\n'
    for i in 1 2 3; do
        printf 'FRAME\n'
        head -c 768 /dev/zero | tr '\0' "$((i + 3))"
    done
} > "$dir/clip.y4m"
"$dir/depth" "$dir/clip.y4m" "$dir/out" "$dir/tiny.safetensors" > "$dir/text" || fail "the example"
grep -q '^3 frames' "$dir/text" || fail "the example says $(cat "$dir/text")"
"$usr/bin/isobath" run "$dir/clip.y4m" -o "$dir/out2" --model "$dir/tiny.safetensors" --format png16,npz -q > /dev/null || fail "run"
cmp "$dir/out/clip_depths.npz" "$dir/out2/clip_depths.npz" || fail "the example's bytes differ from the command's"
"$dir/depth" "$dir/missing.mp4" "$dir/out3" "$dir/tiny.safetensors" 2> "$dir/text" && fail "the example takes a missing file"
grep -q missing.mp4 "$dir/text" || fail "the example says $(cat "$dir/text")"
[ $failed = 0 ] && echo "installed, built and run"
exit $failed

#!/bin/sh
# The .deb: unpacked somewhere else, the command runs and finds its model and its man pages.
# usage: deb.sh SOURCE BUILD
set -u
source=$1 build=$2
command -v dpkg-deb > /dev/null 2>&1 && command -v objdump > /dev/null 2>&1 || { echo "SKIPPED: no dpkg-deb or objdump"; exit 77; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/isobath-debtest-XXXXXX")
trap 'rm -rf "$dir"' EXIT
failed=0
fail() {
    echo "FAILED: $*"
    failed=1
}
deb=$("$source/tools/deb.sh" "$build" "$dir") || exit 1
dpkg-deb -x "$deb" "$dir/root" || exit 1
depends=$(dpkg-deb -f "$deb" Depends)
for name in libavformat libavcodec libswscale libjansson libisal 'libc6 (>= '; do
    case $depends in *"$name"*) ;; *) fail "Depends lacks $name: $depends" ;; esac
done
case $(dpkg-deb -f "$deb" Suggests) in libavdevice[0-9]*) ;; *) fail "Suggests has no libavdevice" ;; esac
for file in usr/bin/isobath usr/lib/libisobath.a usr/lib/pkgconfig/isobath.pc usr/include/isobath/session.h usr/share/man/man1/isobath-run.1.gz \
    usr/share/doc/isobath/copyright usr/share/doc/isobath/examples/depth.c usr/share/bash-completion/completions/isobath; do
    [ -s "$dir/root/$file" ] || fail "no $file"
done
if grep -rqF "$build" "$dir/root/usr/bin" "$dir/root/usr/lib/pkgconfig" "$dir/root/usr/share"; then fail "the package names its build folder"; fi
mkdir "$dir/home"
unset ISOBATH_MODELS XDG_CACHE_HOME LD_LIBRARY_PATH
export HOME="$dir/home"
[ "$("$dir/root/usr/bin/isobath" --version)" = "isobath $(dpkg-deb -f "$deb" Version)" ] || fail "--version"
if ls "$source"/assets/models/*.safetensors > /dev/null 2>&1; then
    "$dir/root/usr/bin/isobath" models | grep -q "^nano .*share/isobath/models/nano.safetensors" || fail "models"
    "$dir/root/usr/bin/isobath" run "$source/assets/sample/walk.mp4" -o "$dir/out" --input-size 28 --max-frames 3 -q > /dev/null || fail "run"
    [ "$(find "$dir/out/walk_depths_png16" -name '*.png' | wc -l)" = 3 ] || fail "three frames expected"
fi
[ $failed = 0 ] && echo "packed, unpacked and run"
exit $failed

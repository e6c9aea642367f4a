#!/bin/sh
# `make demo` from a fresh clone, as the README promises. usage: demo.sh SOURCE_DIR; exit 77: no git or not a checkout
set -eu
source=$1
command -v git > /dev/null && [ -e "$source/.git" ] || { echo "SKIPPED: not a git checkout"; exit 77; }
dir=$(mktemp -d "${TMPDIR:-/tmp}/isobath-demo-XXXXXX")
trap 'rm -rf "$dir"' EXIT
git clone -q "$source" "$dir/isobath"
cd "$dir/isobath"
make demo CMAKE_FLAGS=-DISOBATH_CUDA=OFF > "$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
tail -n 8 "$dir/log"
test -s demo-out/walk_vis.mp4
test "$(ls demo-out/walk_depths_png16 | grep -c '^frame_.*png$')" = 150
test -x build/isobath
echo "1 passed, 0 failed"

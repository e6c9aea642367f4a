#!/bin/sh
# `isobath stream` of RTSP and HTTP URLs, from url/server.c. usage: url.sh ISOBATH SYNTH SERVER
set -u
isobath=$1
synth=$2
server=$3
. "$(dirname "$0")/expect.sh"

"$synth" tiny 1 "$dir/tiny.safetensors" || exit 1
"$server" make "$dir/clip.mkv" || exit 1
model="--model $dir/tiny.safetensors --input-size 28 --devices cpu"
pid=
trap '[ -z "$pid" ] || kill $pid; rm -rf "$dir"' EXIT

# serve [cut|stall N]: the server anew; its address without the protocol in $at
serve() {
    [ -z "$pid" ] || kill $pid
    rm -f "$dir/port"
    "$server" "$dir/clip.mkv" "$dir/port.new" "$@" &
    pid=$!
    tries=0
    while [ ! -s "$dir/port.new" ] && [ $tries -lt 100 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    mv "$dir/port.new" "$dir/port"
    at="//127.0.0.1:$(cat "$dir/port")/clip"
}
# moments FILE: its times_us, one a line
moments() { tr -d ' \n' < "$1" | sed 's/.*"times_us":\[\([^]]*\).*/\1/' | tr ',' '\n' | grep .; }

# The depth of a URL is that of the file.
"$isobath" stream "$dir/clip.mkv" --pipe f32 -q $model > "$dir/file.f32"
serve
for protocol in rtsp http; do
    expect 0 "done     50 frames" sh -c "timeout 60 '$isobath' stream '$protocol:$at' --pipe f32 --when-slow block $model > '$dir/url.f32'"
    expect 0 same sh -c "cmp '$dir/file.f32' '$dir/url.f32' && echo same"
done
# A connection that ends in mid-stream is opened again, and so is one that falls silent; times go on by the clock.
serve cut 10
expect 0 "reconnected 1" timeout 60 "$isobath" stream "rtsp:$at" -o "$dir/cut" --format npz --when-slow block --max-frames 25 --reconnect 20 $model
serve stall 10
expect 0 "reconnected 1" timeout 60 "$isobath" stream "rtsp:$at" -o "$dir/stall" --format npz --when-slow block --max-frames 25 --reconnect 20 --stall 1 $model
for name in cut stall; do
    expect 0 "25 frames" "$isobath" check "$dir/$name"
    expect 0 "0 back" sh -c "echo '$(moments "$dir/$name/clip_isobath.json")' | awk 'NR > 1 && \$1 < last + 30000 { n++ } { last = \$1 } END { print n + 0, \"back\" }'"
done
# Without --reconnect that is the end, and what came before is complete.
serve stall 10
expect 3 "broke off after 10 frames: nothing came for 1 s (the 10 frames before that are a complete result)" \
    timeout 60 "$isobath" stream "rtsp:$at" -o "$dir/silent" --when-slow block --format npz --stall 1 $model -q
expect 0 "10 frames" "$isobath" check "$dir/silent"
serve cut 20000
expect 3 "are a complete result)" timeout 60 "$isobath" stream "http:$at" -o "$dir/short" --format npz $model -q
expect 0 "ok" "$isobath" check "$dir/short"
# Nobody there.
kill $pid
wait $pid 2> /dev/null
pid=
expect 3 "Connection refused" timeout 60 "$isobath" stream "rtsp:$at" -o "$dir/no" $model
expect 2 "0 or more" "$isobath" stream "rtsp:$at" -o "$dir/no" --stall -1
[ -e "$dir/no" ] && { echo "FAILED: a mistake left a folder"; failed=$((failed + 1)); }
echo "$passed passed, $failed failed"
[ $failed = 0 ]

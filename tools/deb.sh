#!/bin/sh
# make deb: isobath_VERSION_ARCH.deb from a finished build. usage: deb.sh BUILD [FOLDER]
# Depends are the packages of the libraries that the command is linked with, as this machine has them: build on the release
# that the package is for.
set -eu
build=$(cd "$1" && pwd)
out=${2:-$build}
stage=$(mktemp -d "${TMPDIR:-/tmp}/isobath-deb-XXXXXX")
trap 'rm -rf "$stage"' EXIT
chmod 755 "$stage"
umask 022
version=$("$build/isobath" --version | cut -d' ' -f2)
arch=$(dpkg --print-architecture)
cmake --install "$build" --prefix "$stage/usr" --strip > "$build/deb.log" 2>&1 || { cat "$build/deb.log" >&2; exit 1; }

# The package that owns each library that the command names; the loader says which file that is.
depends=
ldd "$stage/usr/bin/isobath" > "$build/deb.log"
for library in $(objdump -p "$stage/usr/bin/isobath" | awk '/NEEDED/ { print $2 }'); do
    case $library in ld-linux*) continue ;; esac
    file=$(awk -v name="$library" '$1 == name { print $3 }' "$build/deb.log")
    package=
    for path in "$file" "${file#/usr}" "/usr$file" "$(readlink -f "$file")"; do
        [ -n "$package" ] || package=$(dpkg-query -S "$path" 2>/dev/null | cut -d: -f1 | head -n 1)
    done
    [ -n "$package" ] || { echo "deb: no package owns $library" >&2; exit 1; }
    case ", $depends," in *", $package,"*) ;; *) depends="${depends:+$depends, }$package" ;; esac
done
libc=$(dpkg-query -W -f '${Version}' libc6 | sed 's/-.*//')
depends=$(printf '%s' "$depends" | sed "s/libc6\(,\|\$\)/libc6 (>= $libc)\1/")

# Loaded when the input is a camera: no dependency, because it brings sound servers and window systems along.
camera=$(printf '%s' "$depends" | sed -n 's/.*libavformat\([0-9]*\).*/libavdevice\1, /p')

doc=$stage/usr/share/doc/isobath
{
    echo "isobath is under the Apache License 2.0. This package links FFmpeg as the distribution builds it."
    echo
    cat "$doc/NOTICE"
    echo
    cat "$doc/LICENSE"
} > "$doc/copyright"
rm "$doc/LICENSE" "$doc/NOTICE"
gzip -9n "$stage"/usr/share/man/man1/*.1
find "$stage" -type f -exec chmod go+r {} +

mkdir "$stage/DEBIAN"
cat > "$stage/DEBIAN/control" << END
Package: isobath
Version: $version
Architecture: $arch
Maintainer: isobath developers <isobath@localhost>
Section: video
Priority: optional
Installed-Size: $(du -sk "$stage/usr" | cut -f1)
Depends: $depends
Suggests: ${camera}libavformat-dev, libavcodec-dev, libswscale-dev, libopenexr-dev, libpng-dev, libisal-dev, libdeflate-dev, libjansson-dev, libcurl4-openssl-dev, libssl-dev
Description: temporally consistent depth from video
 Turns a video of any length into one depth map per frame with Video Depth
 Anything checkpoints: 16-bit PNG, NPZ, EXR, preview video. Of the suggested
 packages libavdevice is for cameras (isobath stream /dev/video0), the others
 to link programs with libisobath.a.
END
(cd "$stage" && find usr -type f | sort | xargs md5sum) > "$stage/DEBIAN/md5sums"
mkdir -p "$out"
deb=$out/isobath_${version}_$arch.deb
dpkg-deb --root-owner-group --build "$stage" "$deb" > /dev/null
echo "$deb"

#!/bin/bash
# Copies the sources into the cache mount with one date, compiles with ninja and a compiler cache, packs the wheel.
set -euo pipefail
export CCACHE_DIR=/ccache SOURCE_DATE_EPOCH=1735689600
. /build/cache.sh
cd /opt/shapes
exec 9>.lock; flock 9
cp -r /build/src . && find src -exec touch --date=@$SOURCE_DATE_EPOCH {} +
echo "🔹CHONK: [15%] Sources ready 💎 Diamond ✧ ▰▱▱▱▱▱▱▱▱▱ [0s]"
{
  echo "rule cc"
  echo "  command = $launcher g++ -O2 -fPIC -MD -MF \$out.d -c \$in -o \$out"
  echo "  depfile = \$out.d"
  echo "rule link"
  echo "  command = g++ -shared \$in -o \$out"
  objects=
  for file in src/*.cpp; do
    object=$(basename "$file" .cpp).o objects="$objects $(basename "$file" .cpp).o"
    echo "build $object: cc $file"
  done
  echo "build libshapes.so: link$objects"
} >build.ninja
ninja -j "$MAX_JOBS"
report_cache
echo "🔹CHONK: [70%] Compiled ♦️ Ruby ✧ First Harmonic ✧ ▰▰▰▰▰▰▰▱▱▱ [0s]"
rm -rf wheel record && mkdir -p wheel/shapes "wheel/shapes-$SHAPES_VERSION.dist-info" /wheels
cp libshapes.so wheel/shapes/ && cp src/shapes.py wheel/shapes/__init__.py
info=wheel/shapes-$SHAPES_VERSION.dist-info
printf 'Metadata-Version: 2.1\nName: shapes\nVersion: %s\n' "$SHAPES_VERSION" >"$info/METADATA"
printf 'Wheel-Version: 1.0\nGenerator: build.sh\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n' >"$info/WHEEL"
(cd wheel && find . -type f -printf '%P,,\n' | sort && echo "${info#wheel/}/RECORD,,") >record && mv record "$info/RECORD"
find wheel -exec touch --date=@$SOURCE_DATE_EPOCH {} +
(cd wheel && python3 -m zipfile -c "/wheels/shapes-$SHAPES_VERSION-py3-none-linux_x86_64.whl" shapes "shapes-$SHAPES_VERSION.dist-info")
# The build record: what the library loads of the distribution, which who installs the wheel elsewhere must have.
needed=$(ldd libshapes.so | awk '/=> \// {print $3}' | xargs realpath | xargs dpkg -S | cut -d: -f1 | sort -u)
printf '{"runtime_packages": ["%s"]}\n' "$(echo $needed | sed 's/ /", "/g')" >/wheels/shapes.json
echo "🔹CHONK: [100%] Packed 💙 Sapphire ✧ Triple Harmonic ✧ ▰▰▰▰▰▰▰▰▰▰ [0s]"

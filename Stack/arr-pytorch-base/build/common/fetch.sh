#!/bin/bash
# fetch.sh DIRECTORY SHA256 METHOD ARG...: unpacks one source tree into DIRECTORY, once.
#   debian PACKAGE VERSION   the source package, patched; SHA256 is its .dsc's, which names the others
#   orig FILE                a source package's original tarball alone
#   tarball URL              any .tar.gz
#   git URL TAG              a recursive, shallow clone
# A stamp written last tells a complete tree from one whose unpacking was interrupted. All files get one date, so that
# ninja neither trusts an object older than a changed source nor forgets a good one.
. "$(dirname "$0")/lib.sh"
dir=$1 sha256=$2 method=$3; shift 3
# The stamp names what was unpacked, and for what: built by hand, another version or profile finds the same folder.
stamp="$sha256 $method $* $(sha256sum </build/profile.env) ${COMPILE_PLAN:-auto}"
[ "$(cat "$dir/.arrstack-fetched" 2>/dev/null)" = "$stamp" ] && { echo "fetch: $dir is complete"; exit 0; }
find "$dir" -mindepth 1 -maxdepth 1 ! -name .arrstack-lock -exec rm -rf {} +
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

# The archive that this image's own apt uses, and the pool folder of a source package.
archive() { awk '$1=="deb" {for (i=2;i<=NF;i++) if ($i ~ /^https?:/) {print $i; exit}} $1=="URIs:" {print $2; exit}' /etc/apt/sources.list $(ls /etc/apt/sources.list.d/* 2>/dev/null); }
pool() { echo "$(archive)/pool/main/${1:0:1}/$1"; }
get() { curl -fsSL --retry 4 --retry-all-errors --connect-timeout 20 -o "$work/${1##*/}" "$1" || die "cannot fetch $1: the pin in stack.toml may have left the archive"; }
verify() { echo "$1  $2" | (cd "$work" && sha256sum --check --quiet -) || die "$2 is not the file that stack.toml pins (sha256 $1)"; }

case $method in
  debian)
    dsc=${1}_$2.dsc base=$(pool "$1")
    get "$base/$dsc"; verify "$sha256" "$dsc"
    sed -n '/^Checksums-Sha256:/,/^[^ ]/s/^ \([0-9a-f]\{64\}\) [0-9]* \(.*\)/\1 \2/p' "$work/$dsc" >"$work/files"
    while read -r sum file; do get "$base/$file"; verify "$sum" "$file"; done <"$work/files"
    (cd "$work" && dpkg-source --no-check --skip-patches -x "$dsc" tree >/dev/null)
    find "$work/tree" -mindepth 1 -maxdepth 1 -exec mv --target-directory="$dir" {} +
    # Its version patch would add +debian to what the profile pins.
    grep -v '^2000-version.patch' "$dir/debian/patches/series" | while read -r p; do
      patch --quiet -d "$dir" -p1 <"$dir/debian/patches/$p"
    done ;;
  orig)
    get "$(pool "${1%%_*}")/$1"; verify "$sha256" "$1"
    tar -xf "$work/$1" -C "$dir" --strip-components=1 --no-same-owner ;;
  tarball)
    get "$1"; verify "$sha256" "${1##*/}"
    tar -xf "$work/${1##*/}" -C "$dir" --strip-components=1 --no-same-owner ;;
  git)
    git clone --quiet --recursive --shallow-submodules --depth 1 --branch "$2" "$1" "$work/tree"
    cp -a "$work/tree/." "$dir/" ;;
  *) die "unknown source method '$method'" ;;
esac
find "$dir" -mindepth 1 ! -name .arrstack-lock -exec touch --no-dereference --date=@"$SOURCE_DATE_EPOCH" {} +
echo "$stamp" >"$dir/.arrstack-fetched"

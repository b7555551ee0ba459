#!/bin/sh
# Collects what an image needs: collect.sh BINARY OUT
#   OUT/usr/bin/latham             without debugging symbols
#   OUT/usr/lib/latham/            the shared libraries it loads, but not the C library and its loader: they are the base's
#   OUT/usr/share/doc/*/copyright  the licences of these libraries
#   OUT/var/lib/dpkg/status.d/     their packages and versions, for scanners that look for known holes
# Installing the libraries' packages instead would also bring what they recommend and depend on: drivers, documentation, scripts.
set -eu
binary=$1 out=$2

rm -rf "$out"
mkdir -p "$out/usr/bin" "$out/usr/lib/latham" "$out/var/lib/dpkg/status.d"
strip --strip-debug -o "$out/usr/bin/latham" "$binary"
chmod 755 "$out/usr/bin/latham"

list=$(mktemp)
trap 'rm -f "$list"' EXIT
ldd "$binary" | awk '$2 == "=>" && $3 ~ /^\// {print $1, $3} /not found/ {print "missing", $1}' |
  grep -vE '^(libc\.so\.6|libm\.so\.6|libpthread\.so\.0|libdl\.so\.2|librt\.so\.1|libresolv\.so\.2) ' >"$list"
if grep '^missing ' "$list" >&2; then exit 1; fi
while read -r name path; do cp -L "$path" "$out/usr/lib/latham/$name"; done <"$list"

# dpkg knows a file by the name in its package, which may date from before /usr was merged: with or without the /usr.
while read -r _ path; do
  real=$(realpath "$path")
  printf '%s\n%s\n' "$real" "${real#/usr}"
done <"$list" | xargs dpkg-query --search 2>/dev/null | cut -d : -f 1 | sort -u | while read -r package; do
  dpkg-query --status "$package" >"$out/var/lib/dpkg/status.d/$package" 2>/dev/null || continue
  mkdir -p "$out/usr/share/doc/$package"
  cp -L "/usr/share/doc/$package/copyright" "$out/usr/share/doc/$package/copyright" 2>/dev/null || true
done

#!/bin/sh
# Installs what a step needs on Debian 12 or 13: packages.sh build|test|fuzz|mutation
#   build     compiler, libraries' headers, and node for the page
#   test      the same, and what the tests use: GoogleTest, the ffmpeg command, a browser, emulated processors,
#             the simulation's allocator
#   fuzz      what `build` needs, the ffmpeg command, and clang with its run-time libraries
#   mutation  what `test` needs, and clang's parser for Python
# Does nothing, quickly, when all of it is there. Needs root, or a user who may use sudo.
set -eu

step=${1:?"usage: packages.sh build|test|fuzz|mutation"}

build="g++ cmake ninja-build ccache pkg-config libcaf-dev librocksdb-dev libuv1-dev libssl-dev libcpp-httplib-dev libhttp-parser-dev
 libspdlog-dev libfmt-dev nlohmann-json3-dev libcli11-dev prometheus-cpp-dev libavformat-dev libavcodec-dev libavutil-dev libavfilter-dev
 libswscale-dev libswresample-dev libseccomp-dev libyaml-cpp-dev"
test="libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev libgoogle-perftools-dev ffmpeg chromium curl procps python3 qemu-user"
fuzz="clang libclang-rt-dev ffmpeg"
mutation="clang python3-clang"

case $step in
  build) wanted=$build ;;
  test) wanted="$build $test" ;;
  fuzz) wanted="$build $fuzz" ;;
  mutation) wanted="$build $test $mutation" ;;
  *) echo "packages.sh: unknown step $step; it takes build, test, fuzz or mutation" >&2; exit 2 ;;
esac
# Debian's npm conflicts with other builds of node, so it is only installed where there is none.
if ! command -v node >/dev/null 2>&1; then wanted="$wanted nodejs"; fi
if ! command -v npm >/dev/null 2>&1; then wanted="$wanted npm"; fi

missing=""
for package in $wanted; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "These Debian packages are missing and will be installed:$missing"
if [ "$(id -u)" = 0 ]; then
  as_root=""
elif command -v sudo >/dev/null 2>&1; then
  as_root="sudo"
else
  echo "packages.sh: installing needs root; run it as root, or install sudo, or install these packages yourself:$missing" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
# shellcheck disable=SC2086  # a list of words on purpose
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing

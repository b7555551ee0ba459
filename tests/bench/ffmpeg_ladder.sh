#!/bin/sh
# The first baseline: what somebody would type to get the same ladder from one ffmpeg: one decode, six encodes with Latham's
# settings (x264 veryfast, CRF 23 with the rungs' caps, a key frame each 2 s, AAC 128k stereo), DASH and HLS over fMP4.
#   ffmpeg_ladder.sh IN OUT_DIRECTORY FRAMES_PER_SEGMENT [OPTION...]     (IN is 1920x1080; options are the encoders')
set -eu
in=$1 out=$2 gop=$3
shift 3
mkdir -p "$out"
graph="[0:v]split=6[in0][in1][in2][in3][in4][v5]"
rung=0
for size in 256:144 426:240 640:360 854:480 1280:720; do
  graph="$graph;[in$rung]scale=$size[v$rung]"
  rung=$((rung + 1))
done
rung=0
for kbit in 200 400 800 1400 2800 5000; do
  set -- "$@" "-maxrate:v:$rung" "${kbit}k" "-bufsize:v:$rung" "$((2 * kbit))k"
  rung=$((rung + 1))
done
exec ffmpeg -hide_banner -nostdin -loglevel error -y -i "$in" -filter_complex "$graph" \
  -map "[v0]" -map "[v1]" -map "[v2]" -map "[v3]" -map "[v4]" -map "[v5]" -map "0:a?" \
  -c:v libx264 -preset veryfast -crf 23 -g "$gop" -keyint_min "$gop" -forced-idr 1 "$@" -c:a aac -b:a 128k -ac 2 \
  -f dash -seg_duration 2 -use_template 1 -use_timeline 0 -hls_playlist 1 -adaptation_sets "id=0,streams=v id=1,streams=a" "$out/manifest.mpd"

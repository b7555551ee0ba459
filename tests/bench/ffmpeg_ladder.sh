#!/bin/sh
# The baseline: what somebody would type to get the same ladder from one ffmpeg: one decode, six encodes with Latham's
# settings (x264 veryfast, CRF 23 with the rungs' caps, a key frame each 2 s, AAC 128k stereo), DASH and HLS over fMP4.
#   ffmpeg_ladder.sh IN OUT_DIRECTORY FRAMES_PER_SEGMENT     (IN is 1920x1080)
set -eu
in=$1 out=$2 gop=$3
mkdir -p "$out"
exec ffmpeg -hide_banner -nostdin -loglevel error -y -i "$in" \
  -filter_complex "[0:v]split=6[a][b][c][d][e][f];[a]scale=256:144[v0];[b]scale=426:240[v1];[c]scale=640:360[v2];[d]scale=854:480[v3];[e]scale=1280:720[v4];[f]scale=1920:1080[v5]" \
  -map "[v0]" -map "[v1]" -map "[v2]" -map "[v3]" -map "[v4]" -map "[v5]" -map "0:a?" \
  -c:v libx264 -preset veryfast -crf 23 -pix_fmt yuv420p -g "$gop" -keyint_min "$gop" -sc_threshold 0 -forced-idr 1 \
  -maxrate:v:0 200k -bufsize:v:0 400k -maxrate:v:1 400k -bufsize:v:1 800k -maxrate:v:2 800k -bufsize:v:2 1600k \
  -maxrate:v:3 1400k -bufsize:v:3 2800k -maxrate:v:4 2800k -bufsize:v:4 5600k -maxrate:v:5 5000k -bufsize:v:5 10000k \
  -c:a aac -b:a 128k -ac 2 -ar 48000 \
  -f dash -seg_duration 2 -use_template 1 -use_timeline 0 -hls_playlist 1 -adaptation_sets "id=0,streams=v id=1,streams=a" "$out/manifest.mpd"

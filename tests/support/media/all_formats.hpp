// One tiny source for every container and codec that the engine takes, made by the ffmpeg command: for what must hold for
// all of them.
#pragma once

#include "tests/support/media/barcode.hpp"

#include <array>
#include <string>

namespace latham::testing {

struct format_recipe {
  const char* file;       // its ending says the container
  const char* arguments;  // codecs
};

inline constexpr std::array<format_recipe, 33> all_formats{{
  {"h264_aac.mp4", "-c:v libx264 -preset ultrafast -bf 2 -c:a aac -movflags +faststart"},
  {"h264_aac_fragmented.mp4", "-c:v libx264 -preset ultrafast -c:a aac -movflags +empty_moov+frag_keyframe+default_base_moof"},
  {"hevc_ac3.mp4", "-c:v libx265 -preset ultrafast -x265-params log-level=none:pools=1 -c:a ac3"},
  {"prores_pcm.mov", "-c:v prores -profile:v 0 -c:a pcm_s24le"},
  {"mjpeg_alac.mov", "-c:v mjpeg -pix_fmt yuvj420p -c:a alac"},
  {"mpeg4_eac3.mov", "-c:v mpeg4 -c:a eac3"},
  {"h263_aac.3gp", "-s 128x96 -c:v h263 -c:a aac"},
  {"h264_flac.mkv", "-c:v libx264 -preset ultrafast -bf 2 -c:a flac"},
  {"hevc_aac.mkv", "-c:v libx265 -preset ultrafast -x265-params log-level=none:pools=1 -c:a aac"},
  {"mpeg2_pcm.mkv", "-c:v mpeg2video -c:a pcm_f32le"},
  {"vp8_vorbis.webm", "-c:v libvpx -deadline realtime -cpu-used 8 -c:a libvorbis"},
  {"vp9_opus.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus"},
  {"av1_opus.webm", "-c:v libaom-av1 -cpu-used 8 -usage realtime -c:a libopus"},
  {"av1_aac.mp4", "-c:v libaom-av1 -cpu-used 8 -usage realtime -c:a aac"},
  {"h264_aac.ts", "-c:v libx264 -preset ultrafast -bf 2 -c:a aac"},
  {"mpeg2_mp2.ts", "-c:v mpeg2video -c:a mp2"},
  {"hevc_ac3.ts", "-c:v libx265 -preset ultrafast -x265-params log-level=none:pools=1 -c:a ac3"},
  {"interlaced.ts", "-c:v libx264 -preset ultrafast -x264-params tff=1 -c:a aac"},
  {"hdr.mp4", "-pix_fmt yuv420p10le -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc -c:v libx265 -preset ultrafast "
              "-x265-params log-level=none:pools=1 -tag:v hvc1 -c:a aac"},
  {"mpeg4_mp3.avi", "-c:v mpeg4 -c:a libmp3lame"},
  {"mjpeg_pcm.avi", "-c:v mjpeg -pix_fmt yuvj420p -c:a pcm_s16le"},
  {"h264_aac.flv", "-c:v libx264 -preset ultrafast -c:a aac"},
  {"flv1_mp3.flv", "-c:v flv -c:a libmp3lame -ar 44100"},
  {"mpeg1_mp2.mpg", "-c:v mpeg1video -c:a mp2"},
  {"mpeg2_ac3.vob", "-c:v mpeg2video -c:a ac3"},
  {"theora_vorbis.ogg", "-c:v libtheora -c:a libvorbis"},
  {"sound.mp3", "-vn -c:a libmp3lame"},
  {"cover.mp3", "-vf trim=end_frame=1 -c:v mjpeg -pix_fmt yuvj420p -disposition:v attached_pic -c:a libmp3lame -map 0:v -map 1:a"},
  {"sound.m4a", "-vn -c:a aac"},
  {"sound.wav", "-vn -c:a pcm_s16le"},
  {"sound.flac", "-vn -c:a flac"},
  {"vorbis.ogg", "-vn -c:a libvorbis"},
  {"opus.ogg", "-vn -c:a libopus"},
}};

/// `seconds` of a moving picture with a tone, in `format`; empty when the command failed.
inline std::string make_format(const format_recipe& format, const scratch_directory& dir, const std::string& size, double seconds) {
  const auto length = std::to_string(seconds);
  const auto path = dir.file(format.file);
  const bool made = run_command(ffmpeg + "-f lavfi -i testsrc2=s=" + size + ":r=25:d=" + length + " -f lavfi -i sine=f=440:d=" + length +
                                " -pix_fmt yuv420p -g 10 -ac 2 -strict -2 -threads 1 " + format.arguments + " " + path + " 2>/dev/null");
  return made ? file_bytes(path) : std::string{};
}

}  // namespace latham::testing

// The sources of the conformance matrix: each as the words that the ffmpeg command makes it from, and what has to come out.
// One for every kind of thing that a file may do to a transcoder: groups of pictures, rates, shapes, codecs, containers,
// clocks, sounds, lengths. Small and short, but for one border between chunks in most: the first chunk ends at two seconds.
import assert from 'node:assert/strict';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { ffmpeg } from './sources.mjs';

const words = (text) => text.split(' ').filter((word) => word !== '');
const x264 = '-c:v libx264 -preset ultrafast -pix_fmt yuv420p';
const x265 = '-c:v libx265 -preset ultrafast -x265-params log-level=none:pools=1';
const realtime_av1 = '-c:v libaom-av1 -usage realtime -cpu-used 8';

/// `frames` pictures at `rate` with a tone as long, unless `audio` is ''. The output has `out.frames` at `out.rate`.
function clip(file, frames, rate, { size = '426x240', draw = '', video = x264, audio = '-c:a aac', tone = 'sine=f=440:r=48000', more = '', after, out = {} }) {
  const [num, den = 1] = rate.split('/').map(Number);
  const length = (frames * den) / num;
  const sound = audio === '' ? '-an' : audio;
  const inputs = `-f lavfi -i testsrc2=s=${size}:r=${rate} ${audio === '' ? '' : `-f lavfi -i ${tone}`}`;
  const filter = draw === '' ? '' : `-vf ${draw}`;
  return {
    file,
    commands: (path) => [[...words(`${inputs} -t ${length} ${filter} ${video} ${sound} ${more}`), path]],
    after,
    frames,
    rate: [num, den],
    width: 426,
    height: 240,
    languages: audio === '' ? [] : ['und'],
    except: [],
    notes: [],
    ...out,
  };
}

/// The same file, changed by one more command.
const again = (...change) => async (path) => {
  const before = path.replace(/(\.\w+)$/, '.before$1');
  await rename(path, before);
  await ffmpeg('-i', before, ...change, path);
  await rm(before);
};

/// Two pieces that were made one after the other, as a recorder leaves them that was told to change the picture's size.
const second_piece = (size, from_s) => async (path) => {
  const piece = `${path}.piece.ts`;
  await ffmpeg(...words(`-f lavfi -i testsrc2=s=${size}:r=25 -f lavfi -i sine=r=48000 -t 2 ${x264} -c:a aac -output_ts_offset ${from_s} -muxdelay 0`), piece);
  await writeFile(path, Buffer.concat([await readFile(path), await readFile(piece)]));
  await rm(piece);
};

/// A picture beside the video that is no video.
const with_cover = async (path) => {
  const cover = `${path}.jpg`;
  await ffmpeg(...words('-f lavfi -i testsrc=s=64x64 -frames:v 1 -update 1'), cover);
  await again('-i', cover, '-map', '0', '-map', '1', '-c', 'copy', '-disposition:v:1', 'attached_pic')(path);
  await rm(cover);
};

const languages = '-map 0:v -map 1:a -map 1:a -map 1:a -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu -metadata:s:a:2 language=fra -c:a aac';
const interlaced = { frames: 125, rate: [25, 1] };

export const sources = {
  // Groups of pictures.
  closed_gop: clip('a.mp4', 125, '25', { video: `${x264} -g 50 -bf 2 -flags +cgop`, more: '-movflags +faststart' }),
  long_gop_moov_last: clip('a.mp4', 150, '25', { video: `${x264} -bf 2 -g 1000 -sc_threshold 0` }),
  open_gop: clip('a.mp4', 125, '25', { video: '-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 40 -x264-params open-gop=1:bframes=3:b-adapt=0' }),
  gradual_refresh: clip('a.mp4', 125, '25', { video: `${x264} -g 60 -x264-params intra-refresh=1:bframes=0` }),
  // Rates.
  film: clip('a.mp4', 120, '24000/1001', {}),
  ntsc: clip('a.mp4', 150, '30000/1001', { video: `${x264} -bf 2` }),
  fast_ntsc: clip('a.mp4', 240, '60000/1001', {}),
  above_60: clip('a.mp4', 480, '120', { out: { frames: 240, rate: [60, 1] } }),
  two_per_second: clip('a.mp4', 10, '2', { out: { frames: 40, rate: [8, 1] } }),
  holes: clip('a.mkv', 125, '25', { draw: "select='not(between(n,30,71))'", more: '-fps_mode vfr' }),
  interlaced: clip('a.ts', 250, '50', {
    draw: 'tinterlace=interleave_top,setfield=tff', video: '-c:v mpeg2video -b:v 3M -bf 2 -g 15 -flags +ilme+ildct -top 1', audio: '-c:a mp2', more: '-r 25', out: interlaced,
  }),
  // Shapes.
  rotated: clip('a.mp4', 75, '25', { after: again('-c', 'copy', '-metadata:s:v', 'rotate=90'), out: { width: 240, height: 426 } }),
  portrait: clip('a.mp4', 75, '25', { size: '240x426', out: { width: 240, height: 426 } }),
  wide_pixels: clip('a.mp4', 75, '25', { size: '320x240', draw: 'setsar=4/3' }),
  odd_4_4_4: clip('a.mp4', 75, '25', { size: '427x241', video: '-c:v libx264 -preset ultrafast -pix_fmt yuv444p' }),
  deep_4_2_2: clip('a.mkv', 75, '25', { video: '-c:v libx264 -preset ultrafast -pix_fmt yuv422p10le', audio: '-c:a flac' }),
  resized: clip('a.ts', 50, '25', { more: '-muxdelay 0', after: second_piece('320x240', 2.021333), out: { frames: 100, notes: [/size changes/] } }),
  // Codecs.
  hdr: clip('a.mp4', 75, '25', {
    video: `${x265} -pix_fmt yuv420p10le -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc -tag:v hvc1`, out: { notes: [/HDR/] },
  }),
  hevc_open_gop: clip('a.ts', 125, '25', { video: `-c:v libx265 -preset ultrafast -x265-params log-level=none:pools=1:open-gop=1:keyint=40:bframes=3`, audio: '-c:a ac3' }),
  hevc_4_4_4_deep: clip('a.mp4', 75, '25', { video: `${x265} -pix_fmt yuv444p10le -tag:v hev1` }),
  vp8: clip('a.webm', 75, '25', { video: '-c:v libvpx -deadline realtime -cpu-used 8', audio: '-c:a libvorbis' }),
  vp9: clip('a.webm', 75, '25', { video: '-c:v libvpx-vp9 -deadline realtime -cpu-used 8', audio: '-c:a libopus' }),
  av1_webm: clip('a.webm', 60, '25', { video: realtime_av1, audio: '-c:a libopus' }),
  av1_mp4: clip('a.mp4', 60, '24', { video: realtime_av1 }),
  mpeg2_program: clip('a.mpg', 125, '25', { video: '-c:v mpeg2video -b:v 3M -bf 2', audio: '-c:a mp2' }),
  // An AVI has no times, so its muxer makes room for the sound's priming with a picture that is empty.
  mpeg4_avi: clip('a.avi', 125, '25', { video: '-c:v mpeg4 -b:v 2M', audio: '-c:a libmp3lame', out: { frames: 126 } }),
  mpeg4_reordered: clip('a.mkv', 125, '25', { video: '-c:v mpeg4 -b:v 2M -bf 2', audio: '-c:a libmp3lame' }),
  prores_timecode: clip('a.mov', 75, '25', { video: '-c:v prores_ks -profile:v 0 -timecode 01:00:00:00', audio: '-c:a pcm_s24le' }),
  mjpeg: clip('a.avi', 75, '25', { video: '-c:v mjpeg -pix_fmt yuvj420p', audio: '-c:a pcm_s16le' }),
  theora: clip('a.ogv', 75, '25', { video: '-c:v libtheora -b:v 1M', audio: '-c:a libvorbis' }),
  // Containers and clocks.
  fragmented: clip('a.mp4', 125, '25', { video: `${x264} -g 25 -bf 2`, more: '-movflags +frag_keyframe+empty_moov+delay_moov+default_base_moof' }),
  edit_list: clip('a.mp4', 125, '25', { video: `${x264} -g 50 -bf 2`, after: async (path) => {
    // Copied from within a group of pictures: the edit list hides what comes before.
    const whole = `${path}.whole.mp4`;
    await rename(path, whole);
    await ffmpeg('-ss', '1.2', '-i', whole, '-c', 'copy', path);
    await rm(whole);
  }, out: { frames: 95 } }),
  transport_1000_s: clip('a.ts', 125, '25', { video: `${x264} -g 30 -bf 2`, more: '-output_ts_offset 1000' }),
  transport_wraps: clip('a.ts', 125, '25', { video: `${x264} -g 30 -bf 2`, more: '-output_ts_offset 95440' }), // 33 bits end at 95443.7 s
  flash: clip('a.flv', 125, '25', { video: x264 }),
  // Sounds.
  silent: clip('a.mp4', 75, '25', { audio: '' }),
  mono_8_khz: clip('a.mp4', 75, '25', { audio: '-c:a aac -ac 1 -ar 8000' }),
  surround_96_khz: clip('a.mkv', 75, '25', { audio: '-c:a flac -ac 6 -ar 96000' }),
  three_languages: clip('a.mp4', 75, '25', { audio: languages, out: { languages: ['eng', 'deu', 'fra'] } }),
  sound_ends_early: clip('a.mp4', 125, '25', { tone: 'sine=f=440:r=48000:d=2.5' }),
  sound_ends_late: clip('a.mp4', 75, '25', { after: again(...words('-f lavfi -i sine=r=48000:d=6 -map 0:v -map 1:a -c:v copy -c:a aac')) }),
  sound_comes_late: clip('a.mkv', 125, '25', {
    audio: '', after: again(...words('-itsoffset 1.5 -f lavfi -i sine=r=48000:d=3.5 -map 0:v -map 1:a -c:v copy -c:a aac')), out: { languages: ['und'] },
  }),
  picture_comes_late: clip('a.mkv', 75, '25', { audio: '', after: async (path) => {
    const picture = `${path}.picture.mkv`;
    await rename(path, picture);
    await ffmpeg('-itsoffset', '1', '-i', picture, ...words('-f lavfi -i sine=r=48000:d=4 -map 0:v -map 1:a -c:v copy -c:a pcm_s16le'), path);
    await rm(picture);
  }, out: { frames: 100, languages: ['und'] } }),
  cover_art: clip('a.mp4', 75, '25', { after: with_cover }),
  // Lengths.
  half_a_second: clip('a.mp4', 12, '24', { video: `${x264} -bf 2` }),
  // hls.js does not know edit lists, so it looks for a segment one reordering delay (two frames) later than it is. A last
  // segment that is shorter than that it would never find; so there is none.
  a_frame_beyond_a_segment: clip('a.mp4', 51, '25', {}),
  two_frames_beyond_a_segment: clip('a.mp4', 52, '25', {}),
  three_frames_beyond_a_segment: clip('a.mp4', 53, '25', {}),
  four_frames_beyond_a_segment: clip('a.mp4', 54, '25', {}),
  a_frame_beyond_two_segments: clip('a.mp4', 101, '25', {}),
  // Two readers have faults of their own: hls.js the one above, with a video as short as that, and FFmpeg's DASH demuxer takes
  // the end of its first stream for the end of all, here before it has seen a picture of the second.
  one_frame: clip('a.mp4', 1, '25', { audio: '', out: { except: ['ffmpeg of DASH'] } }),
  one_frame_with_sound: clip('a.mkv', 1, '10', { out: { except: ['hls.js', 'ffmpeg of DASH'] } }),
};

/// Makes a source's file at `path`.
export async function make(source, path) {
  for (const command of source.commands(path)) await ffmpeg(...command);
  await source.after?.(path);
  assert.ok((await readFile(path)).length > 0, `${path} was made`);
}

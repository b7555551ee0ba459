// A file without a picture becomes a ladder of sound: it is ready without a chunk, its manifests name no picture, the ffmpeg
// command hears every beep in its place through both, and `latham encode` makes the same bytes.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { chance, digests, fetch_ok, latham, parse_playlist, renditions_of, request, running, scenario, seconds, upload } from './harness.mjs';
import { beeps_heard, ffmpeg, make_sound, silent_output } from './sources.mjs';

const aac_frame = 1024;
const kinds = [
  ['song.mp3', ['-c:a', 'libmp3lame']],
  ['song.m4a', ['-c:a', 'aac']],
  ['song.ogg', ['-c:a', 'libopus']],
  ['song.flac', ['-c:a', 'flac']],
  ['song.wav', ['-c:a', 'pcm_s16le']],
  ['cover.mp3', ['-f', 'lavfi', '-i', 'testsrc2=s=300x300:d=0.04', '-map', '0', '-map', '1', '-c:a', 'libmp3lame', '-c:v', 'png', '-disposition:v', 'attached_pic']],
];

scenario('sound of every common kind becomes a ladder of sound in one process', 180 * seconds, async (w) => {
  const server = await w.one_process();
  const follower = w.follow(server.url);
  const draw = chance('sound');
  for (const [name, how] of kinds) {
    const length = draw.between(5000, 12000) / 1000;
    const file = w.file(name);
    await make_sound(file, length, how);
    const v = await follower.ends((await upload(server.url, file)).id);
    assert.deepEqual(v.rungs, [], name);
    assert.equal(v.progress, 1);
    assert.deepEqual([v.plan.width, v.plan.height, v.plan.fps, v.plan.chunks], [0, 0, 0, 0]);
    assert.ok(Math.abs(v.plan.duration_s - length) < 0.03, `${v.plan.duration_s} s of ${length} s`);
    assert.deepEqual([v.links.poster, v.links.storyboard], [null, null]);
    for (const picture of ['poster.jpg', 'storyboard.vtt', 'storyboard/1.jpg', '256x144/playlist.m3u8'])
      assert.equal((await request(`${server.url}/media/${v.id}/${picture}`)).status, 404, picture);

    const master = (await fetch_ok(server.url + v.links.hls)).toString();
    const variants = master.split('\n').filter((line) => line.startsWith('#EXT-X-STREAM-INF:'));
    assert.equal(variants.length, 2);
    for (const variant of variants) {
      assert.match(variant, /CODECS="mp4a\.40\.2"/);
      assert.doesNotMatch(variant, /RESOLUTION|FRAME-RATE/);
    }
    assert.doesNotMatch((await fetch_ok(server.url + v.links.dash)).toString(), /video/);

    for (const link of [v.links.hls, v.links.dash]) {
      const { streams } = JSON.parse(await silent_output('ffprobe', ['-hide_banner', '-loglevel', 'warning', '-show_streams', '-of', 'json', server.url + link]));
      assert.deepEqual(streams.map((s) => s.codec_type), ['audio', 'audio'], `${name} through ${link}`);
      for (const i of [0, 1]) {
        const { beeps, samples } = await beeps_heard(server.url + link, `0:a:${i}`);
        assert.ok(samples >= Math.floor(length * 48000) && samples <= length * 48000 + aac_frame, `${name}: ${samples} samples of ${length * 48000}`);
        assert.equal(beeps.length, Math.ceil(length - 0.001));
        beeps.slice(1).forEach((at, k) => assert.ok(Math.abs(at - (k + 1) * 48000) <= 16, `${name}: beep ${k + 1} at sample ${at}`));
      }
    }
  }
});

scenario('four processes and `latham encode` make the same bytes of sound', 120 * seconds, async (w) => {
  const file = w.file('two.mka');
  await ffmpeg('-f', 'lavfi', '-i', 'sine=d=7:r=48000', '-f', 'lavfi', '-i', 'sine=f=880:d=7:r=48000', '-map', '0', '-map', '1', '-c:a', 'flac', '-metadata:s:a:0', 'language=eng', '-metadata:s:a:1', 'language=deu', file);
  const one = await w.one_process();
  const v = await w.follow(one.url).ends((await upload(one.url, file)).id);
  const master = (await fetch_ok(one.url + v.links.hls)).toString();
  assert.match(master, /GROUP-ID="audio-64k",NAME="deu 2",LANGUAGE="deu"/);
  const made = await digests(one.url, v);
  assert.deepEqual(Object.keys(made).sort(), ['audio-0', 'audio-1', 'audio-2', 'audio-3']);
  await one.kill('SIGTERM');

  const four = await w.four_processes();
  const again = await w.follow(four.url).ends((await upload(four.url, file)).id);
  assert.deepEqual(await digests(four.url, again), made, 'four processes make the same bytes');

  const run = new running(latham, ['encode', file, w.file('out'), '--slots', '2', '--json']);
  assert.equal((await run.ended).code, 0, run.lines.join('\n'));
  const report = JSON.parse(run.lines.join('\n'));
  assert.deepEqual([report.frames, report.chunks, report.rungs.length, report.audio.length], [0, 0, 0, 4]);
  for (const [name, where] of Object.entries(renditions_of(await readFile(path.join(w.file('out'), 'master.m3u8'), 'utf8')))) {
    const playlist = parse_playlist(await readFile(path.join(w.file('out'), where), 'utf8'));
    const theirs = parse_playlist((await fetch_ok(`${four.url}/media/${again.id}/${name}/playlist.m3u8`)).toString());
    for (const [i, piece] of [playlist.init, ...playlist.segments].entries())
      assert.deepEqual(await readFile(path.resolve(w.file('out'), name, piece)), await fetch_ok(four.url + [theirs.init, ...theirs.segments][i]), `${name} ${piece}`);
  }
});

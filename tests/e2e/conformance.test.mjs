// Whatever goes in, what comes out is CMAF as three readers who know nothing of each other understand it: mp4box takes every
// box apart, the ffmpeg command decodes both manifests without a word, and hls.js and shaka-player play them in a browser
// from the first to the last picture. The sources are in conformance_sources.mjs;
// LATHAM_CONFORMANCE=REGEX takes some of them.
import assert from 'node:assert/strict';
import { mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { launch, player_files, player_page } from './chromium.mjs';
import { read_rendition } from './cmaf.mjs';
import { make, sources } from './conformance_sources.mjs';
import { latham, renditions_of, running, scenario, seconds, web_server, within } from './harness.mjs';
import { silent_output } from './sources.mjs';

const aac_frame = 1024;
const sound_hz = 48000;
const at_once = 2;

const length_of = ({ frames, rate: [num, den] }) => (frames * den) / num;

async function encode(file, directory) {
  const run = new running(latham, ['encode', file, directory, '--json']);
  const { code } = await within(60 * seconds, `latham encode ${file}`, run.ended);
  assert.equal(code, 0, run.lines.join('\n'));
  return JSON.parse(run.lines.join('\n'));
}

/// Every rung and every sound of `directory`, against what `source` has to become.
async function check_boxes(source, directory, report) {
  const [num, den] = source.rate;
  assert.equal(report.frames, source.frames);
  assert.ok(Math.abs(report.fps - num / den) < 1e-9, `${report.fps} frames a second`);
  assert.equal(report.notes.length, source.notes.length, report.notes.join('; '));
  source.notes.forEach((note, i) => assert.match(report.notes[i], note));

  const master = await readFile(path.join(directory, 'master.m3u8'), 'utf8');
  const found = Object.entries(renditions_of(master));
  const is_sound = ([name]) => name.startsWith('audio-');
  assert.equal(found.filter((entry) => !is_sound(entry)).length, report.rungs.length);
  let key_times;
  for (const [name, where] of found.filter((entry) => !is_sound(entry))) {
    const { track, timescale, delay, segments, samples } = await read_rendition(path.join(directory, where));
    assert.equal(`${track.video.width}x${track.video.height}`, name);
    assert.equal(`${track.track_width}x${track.track_height}`, name, 'pixels are square');
    assert.ok(master.includes(track.codec), `the master names ${track.codec}`);
    assert.equal(samples.length, source.frames, `frames of ${name}`);
    const step = (timescale * den) / num;
    assert.ok(Number.isInteger(step), `${timescale} ticks hold a frame of ${num}/${den}`);
    samples.forEach((sample, n) => assert.equal(sample.duration, step, `duration of sample ${n} of ${name}`));
    // Each moment of the grid is shown once, from 0 on.
    const shown = samples.map((sample) => sample.cts - delay).sort((a, b) => a - b);
    shown.forEach((time, n) => assert.equal(time, n * step, `picture ${n} of ${name}`));
    segments.slice(0, -1).forEach(({ samples: own }, i) => assert.equal(own.length, Math.round((2 * num) / den), `frames of segment ${i + 1} of ${name}`));
    const keys = samples.filter((sample) => sample.is_sync).map((sample) => (sample.cts - delay) / step);
    const starts = segments.map((_, i) => i * Math.round((2 * num) / den));
    // One more may stand where the frames begin that were joined to the last segment: the encoder's own affair.
    const joined = segments.length * Math.round((2 * num) / den);
    assert.deepEqual(keys.filter((key) => key !== joined), starts, `key frames of ${name}`);
    assert.ok(segments.length === 1 || segments.at(-1).samples.length >= 4, `frames of the last segment of ${name}`);
    key_times ??= keys;
    assert.deepEqual(keys, key_times, 'key frames of all rungs');
  }
  const top = report.rungs.at(-1).name.split('x').map(Number);
  assert.deepEqual(top, [source.width, source.height]);

  const sounds = found.filter(is_sound);
  assert.deepEqual([...master.matchAll(/LANGUAGE="(\w+)"/g)].map((m) => m[1]), source.languages);
  assert.equal(sounds.length, source.languages.length);
  for (const [name, where] of sounds) {
    const { track, timescale, delay, samples } = await read_rendition(path.join(directory, where));
    assert.equal(track.codec, 'mp4a.40.2');
    assert.equal(track.audio.channel_count, 2);
    assert.equal(timescale, sound_hz);
    assert.equal(delay, 0);
    samples.slice(0, -1).forEach((sample, n) => assert.equal(sample.duration, aac_frame, `duration of sample ${n} of ${name}`));
    const length = samples.reduce((sum, sample) => sum + sample.duration, 0);
    assert.ok(Math.abs(length - length_of(source) * sound_hz) <= aac_frame, `${name} has ${length} samples`);
  }
}

/// Both manifests, every stream of them, decoded by the command. Each stream is an input of its own: FFmpeg's DASH demuxer
/// ends all streams where the first of them ends.
async function check_command(source, report, base) {
  const streams = [...report.rungs.map((_, i) => `v:${i}`), ...source.languages.map((_, i) => `a:${i}`)];
  for (const manifest of ['master.m3u8', 'manifest.mpd']) {
    if (manifest.endsWith('.mpd') && source.except.includes('ffmpeg of DASH')) continue;
    const inputs = streams.flatMap(() => ['-thread_queue_size', '1024', '-i', `${base}/${manifest}`]);
    const maps = streams.flatMap((stream, i) => ['-map', `${i}:${stream}`]);
    const out = (await silent_output('ffmpeg', ['-hide_banner', '-nostdin', '-loglevel', 'warning', ...inputs, ...maps, '-fps_mode', 'passthrough', '-f', 'framehash', '-hash', 'adler32', '-'])).toString();
    const frames = out.split('\n').filter((line) => /^\d/.test(line)).map((line) => line.split(',').map(Number));
    streams.forEach((stream, i) => {
      const own = frames.filter(([number]) => number === i);
      const where = `${stream} of ${manifest}`;
      if (stream.startsWith('v')) assert.equal(own.length, source.frames, where);
      else assert.ok(Math.abs(own.reduce((sum, [, , , duration]) => sum + duration, 0) - length_of(source) * sound_hz) <= aac_frame, where);
    });
  }
}

async function check_players(source, page, base) {
  const length = length_of(source);
  // The sound is whole AAC frames, so it may end that much before the picture or behind it.
  const slack = aac_frame / sound_hz + 0.002;
  const plays = [['hls.js', 'master.m3u8'], ['shaka', 'master.m3u8'], ['shaka', 'manifest.mpd']].filter(([player]) => !source.except.includes(player));
  for (const { name, ...seen } of await page.play(plays.map(([player, manifest]) => [player, `${base}/${manifest}`]))) {
    const text = `${name}: ${JSON.stringify(seen)}`;
    assert.deepEqual(seen.complaints, [], text);
    assert.equal(seen.ranges.length, 1, `one range without a gap: ${text}`);
    const [[begin, end]] = seen.ranges;
    assert.ok(begin <= 0.001 && Math.abs(end - length) <= slack, `all of ${length} s: ${text}`);
    assert.ok(Math.abs(seen.duration - length) <= slack && Math.abs(seen.at - length) <= slack, `played to ${length} s: ${text}`);
    assert.ok(seen.height > 0 && seen.frames > 0, `shows pictures: ${text}`);
  }
}

scenario('every kind of source becomes CMAF that mp4box, ffmpeg, hls.js and shaka-player agree on', 400 * seconds, async (w) => {
  await mkdir(w.file('out'));
  const base = await web_server(w, w.file('out'), await player_files());
  const browser = await launch(w);
  const wanted = process.env.LATHAM_CONFORMANCE ? new RegExp(process.env.LATHAM_CONFORMANCE) : /./;
  const left = Object.entries(sources).filter(([name]) => wanted.test(name));
  assert.ok(left.length > 0);
  const failures = [];
  const fail = (text) => {
    console.log(text);
    failures.push(text);
  };
  const work = async () => {
    const page = await player_page(browser, base);
    for (let next = left.shift(); next; next = left.shift()) {
      const [name, source] = next;
      const file = w.file(`${name}-${source.file}`);
      const directory = path.join(w.file('out'), name);
      const begin = Date.now();
      try {
        await make(source, file);
        const report = await encode(file, directory);
        // All three have their say, also when one of them is not content.
        for (const check of [() => check_boxes(source, directory, report), () => check_command(source, report, `${base}/${name}`), () => check_players(source, page, `${base}/${name}`)])
          await check().catch((error) => fail(`${name}: ${error.message}`));
      } catch (error) {
        fail(`${name}: ${error.message}`);
      }
      console.log(`${name}: ${((Date.now() - begin) / 1000).toFixed(1)} s`);
      await rm(file, { force: true });
      await rm(directory, { recursive: true, force: true });
    }
  };
  await Promise.all(Array.from({ length: at_once }, work));
  assert.equal(failures.length, 0, failures.join('\n'));
});

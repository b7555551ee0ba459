// `latham encode` makes the same bytes as the service, whatever its slots, as a directory that any web server can hand out;
// and when it cannot, it says why and leaves nothing.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { digests, latham, parse_playlist, renditions_of, running, scenario, seconds, upload, web_server, within } from './harness.mjs';
import { make_source, numbers_shown, silent_output } from './sources.mjs';

async function encode(...args) {
  const run = new running(latham, ['encode', ...args]);
  const { code } = await within(60 * seconds, `latham encode ${args.join(' ')}`, run.ended);
  return { code, text: run.lines.join('\n') };
}

async function digests_of_directory(directory) {
  const out = {};
  for (const [name, where] of Object.entries(renditions_of(await readFile(path.join(directory, 'master.m3u8'), 'utf8')))) {
    const file = path.join(directory, where);
    const playlist = parse_playlist(await readFile(file, 'utf8'));
    const hash = createHash('sha256');
    for (const piece of [playlist.init, ...playlist.segments]) hash.update(await readFile(path.resolve(path.dirname(file), piece)));
    out[name] = hash.digest('hex');
  }
  return out;
}

scenario('a ladder made without a server has the bytes of the service, and plays from a plain web server', 120 * seconds, async (w) => {
  const file = w.file('source.mp4');
  const frames = 330;
  await make_source(file, { width: 640, height: 360, rate: [25, 1], frames });
  const server = await w.one_process();
  const made = await digests(server.url, await w.follow(server.url).ends((await upload(server.url, file)).id));

  const reports = [];
  for (const slots of ['1', '2', '5']) {
    const { code, text } = await encode(file, w.file(`out-${slots}`), '--slots', slots, '--json');
    assert.equal(code, 0, text);
    reports.push(JSON.parse(text));
    assert.deepEqual(await digests_of_directory(w.file(`out-${slots}`)), made, `${slots} slots`);
  }
  assert.equal(new Set(reports.map((r) => r.digest)).size, 1);
  assert.equal(reports[0].frames, frames);
  // The stages are the children's processor time; what is missing is their start.
  const { cpu_s, stages_s } = reports[0];
  const staged = Object.entries(stages_s).reduce((sum, [name, s]) => sum + (name === 'wait' ? 0 : s), 0);
  assert.ok(staged > 0.5 * cpu_s && staged <= cpu_s, `${staged} of ${cpu_s} s`);

  const url = `${await web_server(w, w.file('out-2'))}/master.m3u8`;
  await silent_output('ffprobe', ['-hide_banner', '-loglevel', 'warning', url]);
  assert.deepEqual(await numbers_shown(url, '0:v:0', 256, 144), Array.from({ length: frames }, (_, k) => k));
});

scenario('a directory in use, a file that is no video and a bad rung are refused, and nothing is left', 60 * seconds, async (w) => {
  const file = w.file('source.mp4');
  await make_source(file, { width: 320, height: 180, rate: [25, 1], frames: 25 });
  await mkdir(w.file('used'));
  await writeFile(path.join(w.file('used'), 'mine'), 'precious');
  const before = (await readdir(w.directory)).sort();
  const used = await encode(file, w.file('used'));
  assert.equal(used.code, 1);
  assert.match(used.text, /not empty/);
  await writeFile(w.file('text.mp4'), 'not a video');
  const text = await encode(w.file('text.mp4'), w.file('out'));
  assert.equal(text.code, 3, text.text);
  assert.match(text.text, /not a video/);
  const rung = await encode(file, w.file('out'), '-s', '15x15');
  assert.equal(rung.code, 1);
  assert.match(rung.text, /15x15/);
  assert.deepEqual((await readdir(w.directory)).sort(), [...before, 'text.mp4'].sort());
  assert.equal(await readFile(path.join(w.file('used'), 'mine'), 'utf8'), 'precious');
  assert.ok(!existsSync(w.file('out')));
});

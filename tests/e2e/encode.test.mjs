// `latham encode` makes the same bytes as the service, whatever its slots, as a directory that any web server can hand out;
// and when it cannot, it says why and leaves nothing.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { chance, digests, latham, parse_playlist, pause, renditions_of, running, scenario, seconds, until, upload, web_server, within } from './harness.mjs';
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

scenario('a part of a file begins and ends on its very frames, with and without a server', 120 * seconds, async (w) => {
  const file = w.file('source.mp4');
  await make_source(file, { width: 320, height: 180, rate: [25, 1], frames: 250 });
  const part = ['--start', '3.64', '--end', '8.2'];
  const { code, text } = await encode(file, w.file('out'), ...part, '--json');
  assert.equal(code, 0, text);
  assert.equal(JSON.parse(text).frames, 205 - 91);
  const shown = await numbers_shown(path.join(w.file('out'), 'manifest.mpd'), '0:v:0', 256, 144);
  assert.deepEqual(shown, Array.from({ length: 205 - 91 }, (_, k) => 91 + k));

  const server = await w.one_process();
  const submit = new running(latham, ['submit', file, '--server', server.url, '--wait', '--json', ...part]);
  assert.equal((await within(60 * seconds, 'latham submit', submit.ended)).code, 0, submit.lines.join('\n'));
  const video = JSON.parse(submit.lines.join('\n'));
  assert.deepEqual(await digests(server.url, video), await digests_of_directory(w.file('out')));

  const late = await encode(file, w.file('late'), '--start', '10');
  assert.equal(late.code, 3);
  assert.match(late.text, /lasts only 10\.0 s/);
  const turned = await encode(file, w.file('late'), '--start', '5', '--end', '4');
  assert.equal(turned.code, 1);
  assert.match(turned.text, /end has to come after the start/);
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

/// Process ids of the codec children that `pid` has now.
async function children_of(pid) {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const lists = await Promise.all(threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, 'utf8').catch(() => '')));
  return lists.join(' ').split(' ').filter((word) => word !== '').map(Number);
}

const segments_below = async (directory) => (await readdir(path.join(directory, '256x144')).catch(() => [])).filter((name) => name.endsWith('.m4s')).length;

scenario('children that are killed at random while they encode change no byte', 150 * seconds, async (w) => {
  const file = w.file('source.mp4');
  await make_source(file, { width: 426, height: 240, rate: [25, 1], frames: 1250, noise: 20, more: ['-crf', '30'] });
  const calm = await encode(file, w.file('calm'), '--json');
  assert.equal(calm.code, 0, calm.text);
  const { digest, chunks } = JSON.parse(calm.text);
  assert.ok(chunks >= 5, `${chunks} chunks`);

  for (const [slots, name] of [[1, 'a'], [1, 'b'], [2, 'a'], [2, 'b'], [5, 'a'], [5, 'b']]) {
    const draw = chance(`kills with ${slots} slots, ${name}`);
    const directory = w.file(`killed-${slots}-${name}`);
    const run = new running(latham, ['encode', file, directory, '--slots', String(slots), '--json']);
    const partial = `${directory}.partial-${run.pid}`;
    let kills = 0;
    // Two in a run: a task is begun three times at most, and both may hit the same one.
    for (let before = 0; !run.end && kills < 2; ) {
      await until(60 * seconds, 'a chunk more, or the end', async () => run.end || (await segments_below(partial)) > before);
      before = await segments_below(partial);
      await pause(draw.between(0, 300));
      const children = await children_of(run.pid);
      if (children.length === 0 || run.end) continue;
      try {
        process.kill(draw.one_of(children), 'SIGKILL');
        ++kills;
      } catch (error) {
        assert.equal(error.code, 'ESRCH'); // it had just ended
      }
    }
    const { code } = await within(60 * seconds, `latham encode with ${slots} slots`, run.ended);
    assert.equal(code, 0, run.lines.join('\n'));
    assert.equal(kills, 2, `children killed with ${slots} slots`);
    assert.equal(JSON.parse(run.lines.join('\n')).digest, digest, `${slots} slots`);
  }
});

scenario('Ctrl-C ends it at once and leaves nothing, whether the directory was there or not', 90 * seconds, async (w) => {
  const file = w.file('source.mp4');
  await make_source(file, { width: 640, height: 360, rate: [25, 1], frames: 750, noise: 20, more: ['-crf', '30'] });
  await mkdir(w.file('there'));
  const before = (await readdir(w.directory)).sort();
  for (const [name, signal] of [['new', 'SIGINT'], ['there', 'SIGINT'], ['new', 'SIGTERM']]) {
    const run = new running(latham, ['encode', file, w.file(name), '--slots', '2']);
    const partial = name === 'there' ? path.join(w.file(name), `.partial-${run.pid}`) : `${w.file(name)}.partial-${run.pid}`;
    await until(60 * seconds, 'the first chunk', async () => (await segments_below(partial)) > 0 || run.end);
    const children = await children_of(run.pid);
    assert.equal(children.length, 2, `children before ${signal}`);
    const { code } = await run.kill(signal);
    assert.equal(code, 130, run.lines.join('\n'));
    assert.deepEqual((await readdir(w.directory)).sort(), before, `left by ${signal}`);
    assert.deepEqual(await readdir(w.file('there')), []);
    // Its children were its own to reap, so they are gone with it.
    for (const pid of children) assert.equal(existsSync(`/proc/${pid}`), false, `child ${pid} after ${signal}`);
  }
});

scenario('a directory that is there and empty is filled in its place', 60 * seconds, async (w) => {
  const file = w.file('source.mp4');
  await make_source(file, { width: 320, height: 180, rate: [25, 1], frames: 75 });
  await mkdir(w.file('there'));
  const inode = (await stat(w.file('there'))).ino;
  for (const name of ['new', 'there']) assert.equal((await encode(file, w.file(name))).code, 0);
  const entries = async (name) => (await readdir(w.file(name), { recursive: true })).sort();
  assert.deepEqual(await entries('there'), await entries('new'));
  assert.deepEqual(await digests_of_directory(w.file('there')), await digests_of_directory(w.file('new')));
  assert.equal((await stat(w.file('there'))).ino, inode, 'it may be a mount point: it is not replaced');
});

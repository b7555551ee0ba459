// kill -9 at any moment loses nothing that was acknowledged and doubles nothing.
//
// One process is killed again and again on the same data, in each phase of a video's life, at moments drawn from a seed; a
// histogram says in which phase it died. What had its 201 becomes ready with the bytes of a calm run; what had none is gone,
// or still receiving, or complete and treated like the others: never anything between. In the end all is deleted, and the
// disk is empty. Then four processes lose each of their roles once while they encode.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { blob_files, chance, digests, json, latham_chaos, pause, request, running, scenario, seconds, until, upload, within } from './harness.mjs';
import { make_source } from './sources.mjs';

const experiment = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../chaos/experiments/pod-kill-worker.yaml');

const phases = ['receiving', 'sent, no reply', 'planning', 'encoding', 'finishing'];
const kills_per_phase = 4;
const kills_max = 80; // a phase may be over when the signal comes

/// An upload whose bytes and reply are in the test's hands.
class slow_upload {
  constructor(url, title, bytes) {
    this.bytes = bytes;
    this.request = http.request(`${url}/api/v1/videos?title=${title}`, {
      method: 'POST',
      agent: false,
      headers: { 'content-type': 'video/mp4', 'content-length': bytes.length },
    });
    this.reply = null;
    this.over = new Promise((done) => {
      this.request.on('error', () => done(null)); // killed servers hang up
      this.request.on('response', (answer) => {
        const pieces = [];
        answer.on('data', (piece) => pieces.push(piece));
        answer.on('error', () => done(null));
        answer.on('end', () => {
          this.reply = { status: answer.statusCode, body: Buffer.concat(pieces) };
          done(this.reply);
        });
      });
    });
    this.request.setNoDelay(true);
  }
  write(from, to) {
    return new Promise((done) => this.request.write(this.bytes.subarray(from, to), done));
  }
  get acknowledged() {
    return this.reply?.status === 201;
  }
}

/// The line by which a scheduler's log (at level debug) says that a phase begins.
const begins = {
  planning: (id) => new RegExp(`lease granted video=${id} kind=plan`),
  encoding: (id) => new RegExp(`lease granted video=${id} kind=video`),
  finishing: (id) => new RegExp(`video finishing video=${id}`),
  ready: (id) => new RegExp(`video ready video=${id}`),
};

/// The last phase that began, as the log of a run has it.
const last_phase = (lines, id) => Object.keys(begins).filter((phase) => lines.some((line) => begins[phase](id).test(line))).at(-1) ?? 'queued';

/// Lets a process go on in slices of a fifth of a millisecond, stopped in between, until its log says `begun`: a phase that
/// lasts a millisecond is over before a reader of the log has seen it begin. Leaves the process stopped; SIGKILL ends it so.
async function stop_when(run, begun) {
  for (let slices = 0; slices < 50_000 && !run.end; ++slices) {
    process.kill(run.pid, 'SIGSTOP');
    await pause(1); // for what is in the pipe to be read; nothing more comes
    if (run.lines.some((line) => begun.test(line))) return;
    process.kill(run.pid, 'SIGCONT');
    for (const until = performance.now() + 0.2; performance.now() < until; );
  }
  throw new Error(`no line like ${begun}`);
}

async function strike(node, phase, title, bytes, draw) {
  const { now, url } = node;
  const sending = new slow_upload(url, title, bytes);
  if (phase === 'receiving') {
    await sending.write(0, Math.floor((bytes.length * draw.between(5, 95)) / 100));
    await now.line(/upload begins/);
    await pause(draw.between(0, 10));
  } else {
    await sending.write(0, bytes.length - 1);
    await now.line(/upload begins/);
    const sent = sending.write(bytes.length - 1, bytes.length);
    if (phase === 'sent, no reply') {
      await sent;
      await pause(draw.between(0, 3));
    } else {
      sending.request.end();
      await sending.over;
      assert.ok(sending.acknowledged, `an upload in phase ${phase} is accepted`);
      const { id } = json(sending.reply);
      if (phase === 'finishing') {
        await now.line(begins.encoding(id));
        await stop_when(now, begins.finishing(id));
      } else {
        await now.line(begins[phase](id));
        await pause(phase === 'encoding' ? draw.between(0, 600) : draw.between(0, 2));
      }
    }
  }
  const acknowledged = sending.acknowledged; // as known to the sender when the signal leaves
  await node.kill('SIGKILL');
  sending.request.destroy();
  await sending.over;
  const id = sending.acknowledged ? json(sending.reply).id : undefined;
  const died_in = acknowledged ? last_phase(now.lines, id) : phase === 'receiving' ? 'receiving' : 'sent, no reply';
  return { id, died_in };
}

scenario('kill -9 of one process in every phase loses nothing that was acknowledged', 240 * seconds, async (w) => {
  const draw = chance('kills');
  await make_source(w.file('source.mp4'), { width: 320, height: 180, rate: [25, 1], frames: 150, noise: 10 });
  const bytes = await readFile(w.file('source.mp4'));

  const calm = await w.one_process([], 'calm');
  const calm_id = (await upload(calm.url, bytes)).id;
  const wanted = await digests(calm.url, await w.follow(calm.url).ends(calm_id));
  await calm.kill('SIGTERM');

  const node = await w.one_process(['--log-level', 'debug'], 'victim');
  const follower = w.follow(node.url);
  const histogram = Object.fromEntries(phases.map((p) => [p, 0]));
  const kept = [];
  let kills = 0;
  const least = () => phases.reduce((a, b) => (histogram[b] < histogram[a] ? b : a));
  while (histogram[least()] < kills_per_phase) {
    assert.ok(kills < kills_max, `phases were missed too often: ${JSON.stringify(histogram)}`);
    const title = `kill-${kills++}`;
    const { id, died_in } = await strike(node, least(), title, bytes, draw);
    histogram[died_in] = (histogram[died_in] ?? 0) + 1;
    await node.start();
    await node.ready();

    const listed = json(await request(`${node.url}/api/v1/videos?limit=200`)).videos.filter((v) => v.title === title);
    assert.ok(listed.length <= 1, `one upload, ${listed.length} videos`);
    if (id !== undefined) assert.equal(listed[0]?.id, id, `${title} was acknowledged, and is lost (${died_in})`);
    if (listed.length === 0) continue;
    if (listed[0].state === 'receiving') {
      assert.ok(listed[0].bytes <= bytes.length);
      assert.equal((await request(`${node.url}/media/${listed[0].id}/master.m3u8`)).status, 404, 'a part of an upload is no video');
      assert.equal((await request(`${node.url}/api/v1/videos/${listed[0].id}`, { method: 'DELETE' })).status, 204);
      continue;
    }
    const v = await follower.ends(listed[0].id);
    assert.deepEqual(await digests(node.url, v), wanted, `${title}, killed in phase ${died_in}`);
    kept.push(v.id);
  }
  console.log(`${kills} kills; died in: ${JSON.stringify(histogram)}`);

  // All of them are still what they were, and when they are deleted nothing stays: no output of a dead lease, no half upload.
  for (const id of kept) assert.equal((await follower.ends(id)).state, 'ready');
  const newest = follower.videos.get(kept.at(0));
  assert.deepEqual(await digests(node.url, newest), wanted, 'the first of them after all kills');
  for (const { id } of json(await request(`${node.url}/api/v1/videos?limit=200`)).videos)
    assert.equal((await request(`${node.url}/api/v1/videos/${id}`, { method: 'DELETE' })).status, 204);
  await until(30 * seconds, 'an empty disk', async () => (await blob_files(node.data)).length === 0);
});

/// A job long enough to be hit: a few chunks of about a second each.
const slow_source = { width: 640, height: 360, rate: [25, 1], frames: 450, noise: 20 };

const is_encoding = (v) => v.state === 'encoding' && v.plan.chunks_done >= 1;

scenario('kill -9 of storage, scheduler, worker and gateway, each while encoding, changes no byte', 200 * seconds, async (w) => {
  const file = w.file('source.mp4');
  await make_source(file, slow_source);
  const cluster = await w.four_processes();
  const follower = w.follow(cluster.url);
  const calm = await follower.ends((await upload(cluster.url, file, { title: 'calm' })).id);
  const wanted = await digests(cluster.url, calm);

  let snapshots = 0;
  follower.on('frame', ({ kind }) => (snapshots += kind === 'snapshot'));
  const roles = { storage: cluster.storage, scheduler: cluster.scheduler, worker: cluster.workers[0], gateway: cluster.gateway };
  for (const [role, node] of Object.entries(roles)) {
    const began = Date.now();
    const { id } = await upload(cluster.url, file, { title: `without-${role}` });
    const hit = await follower.wait(id, 'a chunk done while encoding', is_encoding);
    assert.ok(hit.plan.chunks_done < hit.plan.chunks, 'there is work left');
    const before = snapshots;
    await node.restart('SIGKILL');
    await cluster.ready();
    // What a new scheduler does before it is listened to is no event: who follows gets the whole state again.
    if (role === 'scheduler') await until(10 * seconds, 'a new snapshot', () => snapshots > before);
    const v = await follower.ends(id, 'ready', 40 * seconds); // a lease's life and the work, with room for a busy machine
    assert.deepEqual(await digests(cluster.url, v), wanted, `after the death of ${role}`);
    console.log(`${role}: killed with ${hit.plan.chunks_done} of ${hit.plan.chunks} chunks done, ready after ${(Date.now() - began) / 1000} s`);
  }
  assert.deepEqual(await digests(cluster.url, calm), wanted, 'the first video after all deaths');
});

scenario('pod-kill-worker on one of two local workers changes no byte, and the worker joins again', 120 * seconds, async (w) => {
  const file = w.file('source.mp4');
  await make_source(file, slow_source);
  const cluster = await w.four_processes({ workers: 2, slots: 1 });
  const follower = w.follow(cluster.url);
  const wanted = await digests(cluster.url, await follower.ends((await upload(cluster.url, file)).id));

  const { id } = await upload(cluster.url, file);
  await follower.wait(id, 'a chunk done while encoding', is_encoding);
  const labels = (component) => ({ 'app.kubernetes.io/name': 'latham', 'app.kubernetes.io/component': component });
  const pod = (node, component) => ({ name: node.name, namespace: 'latham', labels: labels(component), pid: node.now.pid });
  const pods = [...cluster.workers.map((node) => pod(node, 'worker')), pod(cluster.storage, 'storage'), pod(cluster.gateway, 'gateway')];
  await writeFile(w.file('pods.yaml'), JSON.stringify(pods)); // JSON is YAML
  const chaos = new running(latham_chaos, [experiment, '--pods', w.file('pods.yaml'), '--seed', String(draw_seed())]);
  assert.deepEqual(await within(20 * seconds, 'the end of latham-chaos', chaos.ended), { code: 0, signal: null }, chaos.lines.join('\n'));

  const victim = cluster.workers.find((node) => chaos.lines.join().includes(`pid=${node.now.pid}`));
  assert.ok(victim, `a worker was hit: ${chaos.lines}`);
  assert.equal((await within(10 * seconds, `the end of ${victim.name}`, victim.now.ended)).signal, 'SIGKILL');
  assert.equal(cluster.workers.filter((node) => node.now.end).length, 1, 'one was hit');
  const joined = () => cluster.scheduler.now.lines.filter((line) => line.includes(`worker joins worker=${victim.name}`)).length;
  const before = joined();
  await victim.start(); // what a Deployment does
  await until(20 * seconds, `${victim.name} joins again`, () => joined() > before);
  assert.deepEqual(await digests(cluster.url, await follower.ends(id)), wanted);
});

function draw_seed() {
  return chance('chaos').between(0, 2 ** 31);
}

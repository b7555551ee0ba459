// Bytes pass through the gateway, they do not stay: two gigabytes raise its resident memory by less than 64 MB.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { blob_files, chance, json, request, scenario, seconds, until } from './harness.mjs';

const total = 2 * 1024 ** 3;
const rise_max = 64 * 1024 ** 2;

async function resident(pid, field) {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)[1]) * 1024;
}

/// `bytes` of noise, made as they are asked for.
function noise(bytes) {
  const piece = Buffer.concat(Array(64).fill(chance('noise').bytes(16 * 1024)));
  return Readable.from((function* () {
    for (let left = bytes; left > 0; left -= piece.length) yield piece.subarray(0, Math.min(left, piece.length));
  })(), { objectMode: false, highWaterMark: piece.length });
}

const send = (url, bytes) =>
  request(`${url}/api/v1/videos?title=large`, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream', 'content-length': bytes },
    body: noise(bytes),
  });

scenario('an upload of two gigabytes raises the gateway\'s memory by less than 64 MB', 180 * seconds, async (w) => {
  const cluster = await w.four_processes();
  const follower = w.follow(cluster.url);
  const { pid } = cluster.gateway.now;
  const before = await resident(pid, 'VmRSS');
  const began = Date.now();
  const answer = await send(cluster.url, total);
  const took = (Date.now() - began) / 1000;
  assert.equal(answer.status, 201, answer.body.toString());
  const { id, bytes } = json(answer);
  assert.equal(bytes, total);
  // The high-water mark: a rise that went away again counts too.
  const rise = (await resident(pid, 'VmHWM')) - before;
  console.log(`2 GiB in ${took.toFixed(1)} s; resident ${Math.round(before / 2 ** 20)} MiB before, at most ${Math.round(rise / 2 ** 20)} MiB more`);
  assert.ok(rise < rise_max, `${rise} bytes more`);
  await follower.ends(id, 'failed');
  assert.equal((await request(`${cluster.url}/api/v1/videos/${id}`, { method: 'DELETE' })).status, 204);
  await until(30 * seconds, 'an empty disk', async () => (await blob_files(cluster.data)).length === 0);
});

// What strangers send: each is answered with the right status or ends in state failed, with a sentence that says what to do;
// nothing of it stays on the disk; and the server serves a good video afterwards.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { blob_files, chance, digests, form, json, latham, parse_playlist, renditions_of, request, running, scenario, seconds, until, upload, video, within, fetch_ok } from './harness.mjs';
import { ffmpeg, make_source, silent_output } from './sources.mjs';

const upload_max = 8_000_000;

function is_sentence(text) {
  assert.match(text, /^[A-Z].{10,}[.!]$/s, `not a sentence: "${text}"`);
}

function is_problem(answer, status, code) {
  assert.equal(answer.status, status, answer.body.toString());
  assert.match(answer.headers['content-type'], /application\/problem\+json/);
  const problem = json(answer);
  assert.equal(problem.status, status);
  assert.equal(problem.code, code, problem.detail);
  is_sentence(problem.detail);
  return problem;
}

/// Runs `body`, then expects the same blobs on the disk as before.
async function leaves_nothing(server, what, body) {
  const before = await blob_files(server.data);
  await body();
  let left;
  await until(20 * seconds, `${what} leaves nothing behind`, async () => {
    left = await blob_files(server.data);
    return left.join() === before.join();
  }).catch((error) => {
    throw new Error(`${error.message}: ${left.length} blobs, ${before.length} before`);
  });
}

const remove = async (url, id) => assert.equal((await request(`${url}/api/v1/videos/${id}`, { method: 'DELETE' })).status, 204);

/// Uploads it as a browser would and expects it to fail with one of `codes` and a sentence with `word` in it.
async function ends_failed(server, follower, name, bytes, codes, word) {
  await leaves_nothing(server, name, async () => {
    const answer = await request(`${server.url}/api/v1/videos`, { method: 'POST', ...form([{ name: 'file', filename: name, bytes }]) });
    assert.equal(answer.status, 201, `${name}: ${answer.body}`);
    const { id } = json(answer);
    const v = await follower.ends(id, 'failed', 30 * seconds);
    assert.ok(codes.includes(v.error.code), `${name}: ${JSON.stringify(v.error)}`);
    is_sentence(v.error.detail);
    assert.match(v.error.detail, word, name);
    assert.equal(v.links.hls, null);
    assert.equal((await request(`${server.url}/media/${id}/master.m3u8`)).status, 409, `${name} has no playlist`);
    await remove(server.url, id);
  });
}

async function bytes_of(w, name, ...args) {
  await ffmpeg(...args, w.file(name));
  return readFile(w.file(name));
}

const tiny = ['-f', 'lavfi', '-i', 'testsrc2=s=160x90:r=25:d=2'];
const h264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-g', '25'];

scenario('files that are no videos fail with a reason, open nothing and leave nothing', 180 * seconds, async (w) => {
  const server = await w.one_process();
  const follower = w.follow(server.url);
  const fails = (...rest) => ends_failed(server, follower, ...rest);

  await fails('garbage.mp4', chance('garbage').bytes(100_000), ['unsupported', 'unprocessable'], /./);
  await fails('zeros.mp4', Buffer.alloc(1_000_000), ['unsupported'], /not a video/);
  await fails('text.txt', Buffer.from('The quick brown fox jumps over the lazy dog.\n'.repeat(1000)), ['unsupported'], /not a video/);

  const png = await bytes_of(w, 'p.png', '-f', 'lavfi', '-i', 'testsrc2=s=160x90:d=1', '-frames:v', '1');
  await fails('picture.mp4', png, ['unprocessable'], /picture/);
  const huge = Buffer.from(png);
  huge.writeUInt32BE(16000, 16);
  huge.writeUInt32BE(16000, 20);
  await fails('huge_picture.mp4', huge, ['unprocessable', 'too_large'], /picture|16000/);
  const mov = await bytes_of(w, 'm.mov', ...tiny, '-c:v', 'mjpeg', '-pix_fmt', 'yuvj420p');
  const entry = mov.indexOf('jpeg', mov.indexOf('stsd'));
  mov.writeUInt32BE(16000 * 65536 + 16000, entry + 28);
  await fails('16000x16000.mp4', mov, ['too_large'], /16000x16000/);

  await fails('sound.mka', await bytes_of(w, 'a.mka', '-f', 'lavfi', '-i', 'sine=d=1', '-c:a', 'wavpack'), ['unsupported'], /wavpack/);
  await fails('sound.ac3', await bytes_of(w, 'a.ac3', '-f', 'lavfi', '-i', 'sine=d=1'), ['unsupported'], /convert it to MP3/);
  const empty = await bytes_of(w, 'e.mp4', ...tiny, ...h264, '-movflags', '+empty_moov+frag_keyframe+default_base_moof');
  await fails('no_frames.mp4', empty.subarray(0, empty.indexOf('moof') - 4), ['unprocessable'], /no frames/);
  await fails('ffv1.mp4', await bytes_of(w, 'f.mkv', ...tiny, '-c:v', 'ffv1'), ['unsupported'], /ffv1/);

  const whole = await bytes_of(w, 'v.mp4', ...tiny, ...h264);
  await fails('no_index.mp4', whole.subarray(0, whole.length / 2), ['unprocessable'], /cut off/);
  const years = await bytes_of(w, 'y.mp4', ...tiny, ...h264, '-movflags', '+faststart', '-use_editlist', '0');
  years.writeUInt32BE(0x70000000, years.indexOf('stts') + 16); // each frame lasts for hours
  await fails('years.mp4', years, ['too_large', 'unprocessable'], /./);
});

scenario('playlists that pose as videos read no file and call nobody', 60 * seconds, async (w) => {
  let calls = 0;
  const trap = net.createServer((socket) => {
    ++calls;
    socket.destroy();
  });
  await new Promise((done) => trap.listen(0, '127.0.0.1', done));
  try {
    const server = await w.one_process();
    const follower = w.follow(server.url);
    const lure = `http://127.0.0.1:${trap.address().port}/secret.ts`;
    for (const where of ['file:///etc/passwd', '/etc/passwd', lure]) {
      const m3u8 = `#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n${where}\n#EXT-X-ENDLIST\n`;
      await ends_failed(server, follower, 'playlist.mp4', Buffer.from(m3u8), ['unsupported'], /playlist/);
      await ends_failed(server, follower, 'concat.mp4', Buffer.from(`ffconcat version 1.0\nfile '${where}'\n`), ['unsupported'], /playlist/);
    }
    const key = `#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="${lure}"\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n${lure}\n#EXT-X-ENDLIST\n`;
    await ends_failed(server, follower, 'key.mp4', Buffer.from(key), ['unsupported'], /playlist/);
    assert.equal(calls, 0, 'nobody called');
    // The trap works: it would have noticed.
    await request(lure).catch(() => {});
    assert.equal(calls, 1);
  } finally {
    trap.close();
  }
});

scenario('a file that was cut off is used as far as it goes, and says so', 60 * seconds, async (w) => {
  const server = await w.one_process();
  const follower = w.follow(server.url);
  const bytes = await bytes_of(w, 'c.mp4', '-f', 'lavfi', '-i', 'testsrc2=s=320x180:r=25:d=4', ...h264, '-crf', '5', '-movflags', '+faststart');
  const { id } = await upload(server.url, bytes.subarray(0, Math.floor(bytes.length * 0.6)));
  const v = await follower.ends(id);
  assert.ok(v.plan.duration_s > 1 && v.plan.duration_s < 3.5, `${v.plan.duration_s} s`);
  assert.equal(v.notes.length, 1);
  assert.match(v.notes[0], /ends early/);
});

scenario('pictures that cannot be decoded are counted in the notes, with and without a server', 120 * seconds, async (w) => {
  const server = await w.one_process();
  const follower = w.follow(server.url);
  const name = 'd.mp4';
  const bytes = await bytes_of(w, name, '-f', 'lavfi', '-i', 'testsrc2=s=320x180:r=25:d=16', ...h264, '-g', '50', '-sc_threshold', '0');
  // All pictures of the third and the sixth GOP.
  const packets = (await silent_output('ffprobe', ['-v', 'error', '-select_streams', 'v', '-show_entries', 'packet=pos,size', '-of', 'csv=p=0', w.file(name)])).toString().trim().split('\n').map((line) => line.split(',').map(Number));
  assert.equal(packets.length, 400);
  for (const gop of [2, 5]) for (const [size, at] of packets.slice(gop * 50, gop * 50 + 50)) bytes.fill(0, at, at + size);
  await writeFile(w.file('damaged.mp4'), bytes);
  const note = '100 pictures could not be decoded and were replaced (first at 0:04).';
  const { id } = await upload(server.url, bytes);
  assert.deepEqual((await follower.ends(id)).notes, [note]);
  const shown = await video(server.url, id);
  assert.equal(shown.state, 'ready');
  assert.deepEqual(shown.notes, [note]);
  for (const slots of ['1', '3']) {
    const run = new running(latham, ['encode', w.file('damaged.mp4'), w.file(`out-${slots}`), '--slots', slots, '--json']);
    assert.equal((await within(60 * seconds, 'latham encode', run.ended)).code, 0);
    assert.deepEqual(JSON.parse(run.lines.join('\n')).notes, [note]);
  }
  const run = new running(latham, ['encode', w.file('damaged.mp4'), w.file('out')]);
  assert.equal((await within(60 * seconds, 'latham encode', run.ended)).code, 0);
  assert.ok(run.lines.some((line) => line === `  note: ${note}`), run.lines.join('\n'));
  // What is known is kept: the same after a restart.
  follower.close();
  await server.restart();
  await server.ready();
  assert.deepEqual((await video(server.url, id)).notes, [note]);
});

scenario('wrong requests get the right status and a sentence, and leave nothing', 120 * seconds, async (w) => {
  const server = await w.one_process(['--upload-max', String(upload_max)]);
  const { url } = server;
  const videos = `${url}/api/v1/videos`;
  const follower = w.follow(url);
  await make_source(w.file('good.mp4'), { width: 256, height: 144, rate: [25, 1], frames: 100 });
  const good = await readFile(w.file('good.mp4'));
  const file = { name: 'file', filename: 'good.mp4', bytes: good };
  const post = (options, query = '') => request(videos + query, { method: 'POST', ...options });
  const raw = { 'content-type': 'video/mp4' };
  const refused = (what, status, code, ask) =>
    leaves_nothing(server, what, async () => {
      is_problem(await ask(), status, code);
      // Not even for a moment a video that nobody accepted: a refused one is gone or going.
      await until(10 * seconds, `${what} is in no list`, async () => json(await request(videos)).videos.length === 0);
    });

  await refused('an empty file', 422, 'unprocessable', () => post({ headers: raw, body: Buffer.alloc(0) }));
  await refused('an empty file in a form', 422, 'unprocessable', () => post(form([{ ...file, bytes: Buffer.alloc(0) }])));
  await refused('a form without a boundary', 400, 'invalid_argument', () => post({ headers: { 'content-type': 'multipart/form-data' }, body: form([file]).body }));
  await refused('a form that is cut off', 400, 'invalid_argument', () => {
    const whole = form([file]);
    return post({ ...whole, body: whole.body.subarray(0, whole.body.length - 40) });
  });
  await refused('a form that is none', 400, 'invalid_argument', () => post({ ...form([file]), body: Buffer.from('hello') }));
  await refused('a form without a file', 400, 'invalid_argument', () => post(form([{ name: 'title', value: 'x' }])));
  await refused('a title after the file', 400, 'invalid_argument', () => post(form([file, { name: 'title', value: 'x' }])));
  await refused('two files', 400, 'invalid_argument', () => post(form([file, file])));
  await refused('a body of another type', 415, 'unsupported', () => post({ headers: { 'content-type': 'application/json' }, body: '{}' }));
  for (const ladder of ['256x', 'big', '0x0', '641x361', '99999x2', '256x144 256x144'])
    await refused(`ladder ${ladder}`, 400, 'invalid_argument', () => post(form([{ name: 'ladder', value: ladder }, file])));
  await refused('a bad priority', 400, 'invalid_argument', () => post({ headers: raw, body: good }, '?priority=first'));
  await refused('a file that says it is too large', 413, 'too_large', () => post({ headers: raw, body: Buffer.alloc(upload_max + 1) }));
  await refused('a file that turns out too large', 413, 'too_large', () =>
    post({ headers: { ...raw, 'transfer-encoding': 'chunked' }, body: Buffer.alloc(upload_max + 1) }));

  // Things that are not there, and things that cannot be done.
  const nobody = '0'.repeat(26);
  for (const id of [nobody, 'x']) {
    is_problem(await request(`${videos}/${id}`), 404, 'not_found');
    is_problem(await request(`${videos}/${id}`, { method: 'DELETE' }), 404, 'not_found');
    is_problem(await request(`${videos}/${id}/retry`, { method: 'POST' }), 404, 'not_found');
    is_problem(await request(`${url}/media/${id}/master.m3u8`), 404, 'not_found');
  }
  is_problem(await request(`${url}/nothing/here`), 404, 'not_found');
  const wrong = await request(videos, { method: 'PUT', body: 'x' });
  is_problem(wrong, 405, 'method_not_allowed');
  assert.match(wrong.headers.allow, /GET/);
  assert.match(wrong.headers.allow, /POST/);

  // It still serves.
  const { id } = await upload(url, good);
  const v = await follower.ends(id);
  is_problem(await request(`${videos}/${id}/retry`, { method: 'POST' }), 409, 'conflict');
  const playlist = parse_playlist((await fetch_ok(url + Object.values(renditions_of((await fetch_ok(url + v.links.hls)).toString())).at(-1))).toString());
  const segment = url + playlist.segments[0];
  const size = (await fetch_ok(segment)).length;
  const range = (value) => request(segment, { headers: { range: value } });
  const beyond = await range(`bytes=${size}-`);
  is_problem(beyond, 416, 'bad_range');
  assert.equal(beyond.headers['content-range'], `bytes */${size}`);
  const part = await range('bytes=10-19');
  assert.equal(part.status, 206);
  assert.equal(part.headers['content-range'], `bytes 10-19/${size}`);
  assert.equal(part.body.length, 10);
  assert.equal((await request(`${url}/media/${id}/${v.rungs[0].name}/99.m4s`)).status, 404);
  assert.equal((await request(`${url}/media/${id}/../../../../etc/passwd`)).status, 404);

  // A failed one may be tried again; what is deleted is gone.
  const bad = await upload(url, Buffer.from('no video at all'));
  const failed = await follower.ends(bad.id, 'failed');
  const again = await request(`${videos}/${bad.id}/retry`, { method: 'POST' });
  assert.equal(again.status, 200, again.body.toString());
  await follower.wait(bad.id, 'a second failure', (x) => x.state === 'failed' && x.revision > failed.revision);
  await remove(url, bad.id);
  await remove(url, id);
  await until(20 * seconds, 'an empty disk', async () => (await blob_files(server.data)).length === 0);
  is_problem(await request(`${videos}/${id}`), 404, 'not_found');
  is_problem(await request(segment), 404, 'not_found');
});

scenario('a video that is deleted while it is encoded leaves nothing, and the next one is served', 90 * seconds, async (w) => {
  const server = await w.one_process(['--slots', '1']);
  const follower = w.follow(server.url);
  const file = w.file('long.mp4');
  await make_source(file, { width: 640, height: 360, rate: [25, 1], frames: 400, noise: 20 });
  let alone;
  await leaves_nothing(server, 'a video deleted while encoding', async () => {
    const { id } = await upload(server.url, file);
    await follower.wait(id, 'encoding with a chunk done', (v) => v.state === 'encoding' && v.plan?.chunks_done >= 1);
    await remove(server.url, id);
    await follower.wait(id, 'state deleting', (v) => v.state === 'deleting');
    assert.equal((await request(`${server.url}/media/${id}/master.m3u8`)).status, 404);
    alone = id;
  });
  await until(10 * seconds, 'the video is gone', async () => (await request(`${server.url}/api/v1/videos/${alone}`)).status === 404);
  const { id } = await upload(server.url, file, { ladder: '256x144' });
  await digests(server.url, await follower.ends(id));
});

scenario('a full disk is said before and while bytes are taken, and what fits is still served', 60 * seconds, async (w) => {
  const server = await w.one_process(['--capacity', '4000000']);
  const post = (headers) => request(`${server.url}/api/v1/videos`, { method: 'POST', headers: { 'content-type': 'video/mp4', ...headers }, body: Buffer.alloc(5_000_000, 1) });
  await leaves_nothing(server, 'a file that does not fit', async () => {
    const answer = await post({});
    is_problem(answer, 507, 'disk_full');
    assert.ok(Number(answer.headers['retry-after']) > 0);
  });
  await leaves_nothing(server, 'a file of unknown length that does not fit', async () => is_problem(await post({ 'transfer-encoding': 'chunked' }), 507, 'disk_full'));
  await make_source(w.file('small.mp4'), { width: 256, height: 144, rate: [25, 1], frames: 50 });
  const { id } = await upload(server.url, w.file('small.mp4'));
  await w.follow(server.url).ends(id);
});

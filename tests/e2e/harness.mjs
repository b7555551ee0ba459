// What every test from outside needs: servers as real processes, uploads, events, outputs and their digests.
//
// Nothing here sleeps to let something happen: it waits for a log line, an event or an exit, each with a deadline. Whatever
// a world started is ended by its process id and whatever it wrote is removed, whether its test passed or not; the logs of
// a failed test are printed.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomInt } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import http from 'node:http';
import { createRequire } from 'node:module';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

export const seconds = 1000;

const folder = process.env.LATHAM_BIN;
if (!folder) throw new Error('LATHAM_BIN must name the folder that holds the latham binary; ctest sets it.');
export const latham = path.join(folder, 'latham');
export const latham_chaos = path.join(folder, 'latham-chaos');

// ---- Chance ---------------------------------------------------------------------------------------------------------

/// Printed, so that a failure can be repeated: LATHAM_TEST_SEED=N.
export const seed = process.env.LATHAM_TEST_SEED ? Number(process.env.LATHAM_TEST_SEED) : randomInt(2 ** 31);
console.log(`LATHAM_TEST_SEED=${seed}`);

/// A generator of its own per purpose, so that one more draw here changes nothing there. (mulberry32)
export function chance(purpose) {
  let state = createHash('sha256').update(`${seed} ${purpose}`).digest().readUInt32LE();
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    between: (low, high) => low + Math.floor(next() * (high - low + 1)),
    one_of: (list) => list[Math.floor(next() * list.length)],
    bytes: (count) => Buffer.from(Array.from({ length: count }, () => Math.floor(next() * 256))),
  };
}

// ---- Waiting --------------------------------------------------------------------------------------------------------

/// The promise's value, or an error that says what was waited for.
export function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms / 1000} s: ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/// For states that announce themselves nowhere, like files on a disk: looks until `look` answers something.
export async function until(ms, what, look) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not within ${ms / 1000} s: ${what}`);
    await pause(20);
  }
}

// ---- Processes ------------------------------------------------------------------------------------------------------

const alive = new Set();
process.on('exit', () => alive.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

/// One run of a program: its lines as they come, and its end.
export class running extends EventEmitter {
  constructor(program, args, options = {}) {
    super();
    this.setMaxListeners(0);
    this.lines = [];
    this.child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    alive.add(this.child);
    for (const stream of [this.child.stdout, this.child.stderr]) {
      let rest = '';
      stream.setEncoding('utf8');
      stream.on('data', (text) => {
        const pieces = (rest + text).split('\n');
        rest = pieces.pop();
        for (const line of pieces) {
          this.lines.push(line);
          this.emit('line', line);
        }
      });
    }
    // "close" comes after the last line was read.
    this.ended = new Promise((done) => {
      this.child.on('error', (error) => {
        this.lines.push(String(error));
        done({ code: 127, signal: null });
      });
      this.child.on('close', (code, signal) => done({ code, signal }));
    }).then((how) => {
      alive.delete(this.child);
      this.end = how;
      this.emit('end');
      return how;
    });
  }

  get pid() {
    return this.child.pid;
  }

  /// The first line from the start that matches.
  line(pattern, ms = 30 * seconds) {
    const seen = this.lines.find((line) => pattern.test(line));
    if (seen !== undefined) return Promise.resolve(seen);
    let on_line, on_end;
    const found = new Promise((done, fail) => {
      on_line = (line) => pattern.test(line) && done(line);
      on_end = () => fail(new Error(`the process ended (${JSON.stringify(this.end)}) without a line like ${pattern}`));
      this.on('line', on_line);
      this.on('end', on_end);
    });
    return within(ms, `a line like ${pattern}`, found).finally(() => {
      this.off('line', on_line);
      this.off('end', on_end);
    });
  }

  async kill(signal = 'SIGKILL') {
    if (!this.end) this.child.kill(signal);
    return within(40 * seconds, `the end of process ${this.pid} after ${signal}`, this.ended);
  }
}

/// A port that nothing uses. Below the kernel's range for outgoing connections, so that none of those takes it.
const given_ports = new Set();
export async function free_port() {
  for (;;) {
    const port = randomInt(20000, 32000);
    if (given_ports.has(port)) continue;
    const free = await new Promise((done) => {
      const probe = net.createServer();
      probe.once('error', () => done(false));
      probe.listen(port, '127.0.0.1', () => probe.close(() => done(true)));
    });
    if (!free) continue;
    given_ports.add(port);
    return port;
  }
}

/// A `latham serve` that can be killed and started again with the same words.
export class server {
  constructor(name, args) {
    this.name = name;
    this.args = args;
    this.runs = [];
  }
  get now() {
    return this.runs.at(-1);
  }
  async start() {
    this.runs.push(new running(latham, ['serve', ...this.args]));
    // The admin port is the same for every role and opens when the node stands.
    await until(30 * seconds, `/live of ${this.name}`, async () => {
      if (this.now.end) throw new Error(`${this.name} ended at its start: ${this.now.lines.slice(-5).join('\n')}`);
      return this.admin_answers('/live');
    });
    return this.now;
  }
  admin_answers(target) {
    return request(`http://127.0.0.1:${this.admin}${target}`).then((answer) => answer.status === 200, () => false);
  }
  kill(signal) {
    return this.now.kill(signal);
  }
  async restart(signal = 'SIGKILL') {
    await this.kill(signal);
    return this.start();
  }
}

/// Its page says ready, and so does its API: gateway, storage and scheduler have found each other.
const serves = (node) =>
  until(30 * seconds, `answers of ${node.name}`, async () => {
    if (!(await node.admin_answers('/ready'))) return false;
    return request(`${node.url}/api/v1/videos`).then(({ status }) => status === 200 || status === 401, () => false);
  });

// ---- Worlds ---------------------------------------------------------------------------------------------------------

/// A test with a directory and processes of its own. `ms` is the bound of all of it.
export function scenario(name, ms, body) {
  test(name, { timeout: ms + 60 * seconds }, async () => {
    const w = new world(await mkdtemp(path.join(tmpdir(), 'latham-e2e-')));
    try {
      await within(ms, `the end of "${name}"`, body(w));
      w.check_logs();
    } catch (error) {
      w.print_logs();
      throw error;
    } finally {
      await w.close();
    }
  });
}

export class world {
  constructor(directory) {
    this.directory = directory;
    this.servers = [];
    this.closers = [];
  }
  file(name) {
    return path.join(this.directory, name);
  }

  async add(name, args) {
    const node = new server(name, args);
    node.admin = await free_port();
    node.args.push('--admin', `127.0.0.1:${node.admin}`);
    this.servers.push(node);
    return node;
  }

  /// `latham serve`; `args` are added.
  async one_process(args = [], name = 'one') {
    const port = await free_port();
    const node = await this.add(name, ['--data', this.file(name), '--listen', `127.0.0.1:${port}`, '--free-reserve', '64MB', ...args]);
    node.url = `http://127.0.0.1:${port}`;
    node.data = this.file(name);
    node.ready = () => serves(node);
    await node.start();
    await node.ready();
    return node;
  }

  /// Gateway, storage, scheduler and worker, each a process; all are up and know each other when this returns.
  async four_processes(options = {}) {
    const cluster = await this.cluster(options);
    return { ...cluster, scheduler: cluster.schedulers[0], storage: cluster.storages[0], data: cluster.storages[0].data };
  }

  /// A gateway, and as many of the others as wanted; all are up and know each other when this returns.
  async cluster({ schedulers = 1, storages = 1, workers = 1, slots = 2, name = 'four', args = [] } = {}) {
    const port = await free_port();
    const numbered = (role, count) => Promise.all(Array.from({ length: count }, async (_, i) => ({ name: `${role}-${i}`, address: `127.0.0.1:${await free_port()}` })));
    const [scheduler_at, storage_at] = [await numbered('scheduler', schedulers), await numbered('storage', storages)];
    const peers = (role, list) => list.flatMap((peer) => [`--${role}`, `${peer.name}=${peer.address}`]);
    const [to_schedulers, to_storages] = [peers('scheduler', scheduler_at), peers('storage', storage_at)];
    const add = async (role, at, more) => {
      const node = await this.add(at.name, ['--roles', role, '--name', at.name, '--cluster', at.address, '--data', this.file(`${name}-${at.name}`), ...more, ...args]);
      node.data = this.file(`${name}-${at.name}`);
      return node;
    };
    const all = { schedulers: [], storages: [], workers: [] };
    for (const at of scheduler_at) all.schedulers.push(await add('scheduler', at, to_storages));
    for (const at of storage_at)
      all.storages.push(await add('storage', at, ['--free-reserve', '64MB', ...peers('storage', storage_at.filter((other) => other !== at)), ...to_schedulers]));
    for (let i = 0; i < workers; ++i)
      all.workers.push(await this.add(`worker-${i}`, ['--roles', 'worker', '--name', `worker-${i}`, '--slots', String(slots), ...to_storages, ...to_schedulers, ...args]));
    const gateway = await this.add('gateway-0', ['--roles', 'gateway', '--name', 'gateway-0', '--listen', `127.0.0.1:${port}`, ...to_storages, ...to_schedulers, ...args]);
    gateway.url = `http://127.0.0.1:${port}`;
    for (const node of [...all.schedulers, ...all.storages, ...all.workers, gateway]) await node.start();
    const ready = () => serves(gateway);
    await ready();
    for (const scheduler of all.schedulers) for (const worker of all.workers) await scheduler.now.line(new RegExp(`worker joins worker=${worker.name}`));
    return { ...all, gateway, url: gateway.url, ready };
  }

  follow(url, headers) {
    const follower = new events(url, headers);
    this.closers.push(() => follower.close());
    return follower;
  }

  /// Supervisors mend what should not happen, so a test could pass all the same; their log tells.
  check_logs() {
    for (const node of this.servers.filter((one) => !one.may_break))
      for (const run of node.runs) {
        const broken = run.lines.filter((line) => /unhandled exception|child restarts|supervisor escalates|the node gives up| error /.test(line) && !/video failed/.test(line));
        assert.deepEqual(broken, [], `${node.name} broke on the way`);
      }
  }

  print_logs() {
    for (const node of this.servers)
      node.runs.forEach((run, i) => {
        console.error(`---- ${node.name}, run ${i + 1}: ${JSON.stringify(run.end ?? 'running')}, last lines of ${run.lines.length}`);
        console.error(run.lines.slice(-40).join('\n'));
      });
  }

  async close() {
    for (const close of this.closers) close();
    await Promise.all(this.servers.flatMap((node) => node.runs.map((run) => run.kill())));
    await rm(this.directory, { recursive: true, force: true });
  }
}

// ---- HTTP -----------------------------------------------------------------------------------------------------------

/// { status, headers, body }. Rejects when the connection fails.
export function request(url, { method = 'GET', headers = {}, body, ms = 60 * seconds } = {}) {
  return new Promise((done, fail) => {
    const sent = http.request(url, { method, headers, agent: false, timeout: ms }, (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('error', fail);
      answer.on('end', () => done({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(pieces) }));
    });
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${ms / 1000} s: ${method} ${url}`)));
    sent.on('error', fail);
    if (body !== undefined && typeof body.pipe === 'function') body.pipe(sent);
    else sent.end(body);
  });
}

export const json = (answer) => JSON.parse(answer.body.toString());

/// The bytes at `url`, which must be there.
export async function fetch_ok(url) {
  const answer = await request(url);
  assert.equal(answer.status, 200, `${url}: ${answer.body}`);
  return answer.body;
}

/// { headers, body } of a multipart form. Each part is { name, value } or { name, filename, bytes }.
export function form(parts) {
  const boundary = 'latham-e2e-boundary';
  const pieces = parts.flatMap(({ name, value, filename, bytes }) => [
    `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${filename === undefined ? '' : `; filename="${filename}"`}\r\n\r\n`,
    filename === undefined ? value : bytes,
    '\r\n',
  ]);
  return { headers: { 'content-type': `multipart/form-data; boundary=${boundary}` }, body: Buffer.concat([...pieces, `--${boundary}--\r\n`].map((x) => Buffer.from(x))) };
}

/// Uploads a buffer, or the file at a path, and expects it to be accepted.
export async function upload(url, source, { title = 'test', ladder } = {}) {
  const query = new URLSearchParams({ title, ...(ladder ? { ladder } : {}) });
  const is_file = typeof source === 'string';
  const length = is_file ? (await stat(source)).size : source.length;
  const answer = await request(`${url}/api/v1/videos?${query}`, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream', 'content-length': length },
    body: is_file ? createReadStream(source) : source,
  });
  assert.equal(answer.status, 201, answer.body.toString());
  return json(answer);
}

export const video = async (url, id) => json(await request(`${url}/api/v1/videos/${id}`));

/// The server's event stream. It comes back by itself when the server does.
export class events extends EventEmitter {
  constructor(url, headers = {}) {
    super();
    this.setMaxListeners(0);
    this.url = url;
    this.headers = headers;
    this.videos = new Map();
    this.states = new Map(); // id -> states in the order seen
    this.connect();
  }
  connect() {
    if (this.closed) return;
    const again = () => !this.closed && (this.timer = setTimeout(() => this.connect(), 50));
    this.request = http.get(`${this.url}/api/v1/events`, { agent: false, headers: this.headers }, (answer) => {
      this.emit('answer', { status: answer.statusCode, headers: answer.headers });
      let rest = '';
      answer.setEncoding('utf8');
      answer.on('data', (text) => {
        const frames = (rest + text).split('\n\n');
        rest = frames.pop();
        frames.forEach((frame) => this.take(frame));
      });
      answer.on('error', () => {});
      answer.on('close', again);
    });
    this.request.on('error', again);
  }
  take(frame) {
    const field = (name) => frame.split('\n').filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trim()).join('\n');
    const kind = field('event');
    if (kind) this.emit('frame', { kind, id: field('id'), data: field('data') });
    if (kind === 'snapshot') JSON.parse(field('data')).videos.forEach((v) => this.see(v));
    if (kind === 'video') this.see(JSON.parse(field('data')));
  }
  see(v) {
    this.videos.set(v.id, v);
    if (!this.states.has(v.id)) this.states.set(v.id, []);
    const states = this.states.get(v.id);
    if (states.at(-1) !== v.state) states.push(v.state);
    this.emit('video', v);
  }
  /// The first sight of video `id` for which `holds`.
  wait(id, what, holds, ms = 60 * seconds) {
    const seen = this.videos.get(id);
    if (seen && holds(seen)) return Promise.resolve(seen);
    let on_video;
    const found = new Promise((done) => {
      on_video = (v) => v.id === id && holds(v) && done(v);
      this.on('video', on_video);
    });
    return within(ms, `${what} of video ${id}`, found)
      .catch((error) => {
        throw new Error(`${error.message}; last seen: ${JSON.stringify(this.videos.get(id))}`);
      })
      .finally(() => this.off('video', on_video));
  }
  /// The video when it has come to its end, which must be `state`.
  async ends(id, state = 'ready', ms = 90 * seconds) {
    const v = await this.wait(id, `state ${state}`, (x) => x.state === 'ready' || x.state === 'failed', ms);
    assert.equal(v.state, state, JSON.stringify(v.error));
    return v;
  }
  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.request?.destroy();
  }
}

// ---- A web server of nobody's ----------------------------------------------------------------------------------------

/// A plain web server for what lies below `directory`, as anybody has one; `more` are single files by their path. Its address.
export async function web_server(w, directory, more = {}) {
  const web = http.createServer(async (asked, answer) => {
    const name = path.normalize(decodeURIComponent(new URL(asked.url, 'http://x').pathname));
    const bytes = name in more ? more[name] : await readFile(path.join(directory, name)).catch(() => null);
    answer.writeHead(bytes ? 200 : 404, { 'content-type': name.endsWith('.html') ? 'text/html' : name.endsWith('.js') ? 'text/javascript' : 'application/octet-stream' }).end(bytes);
  });
  await new Promise((done) => web.listen(0, '127.0.0.1', done));
  w.closers.push(() => {
    web.close();
    web.closeAllConnections();
  });
  return `http://127.0.0.1:${web.address().port}`;
}

// ---- Outputs --------------------------------------------------------------------------------------------------------

/// A media playlist's lines as values.
export function parse_playlist(text) {
  const lines = text.trim().split('\n');
  return {
    text,
    kind: lines.find((line) => line.startsWith('#EXT-X-PLAYLIST-TYPE:'))?.split(':')[1],
    ended: lines.includes('#EXT-X-ENDLIST'),
    init: /#EXT-X-MAP:URI="([^"]+)"/.exec(text)?.[1],
    durations: lines.filter((line) => line.startsWith('#EXTINF:')).map((line) => Number.parseFloat(line.slice(8))),
    segments: lines.filter((line) => !line.startsWith('#')),
  };
}

/// Paths of the media playlists that a master names, by rendition: { "256x144": "/media/.../playlist.m3u8", ... }.
export function renditions_of(master) {
  const paths = [...master.matchAll(/URI="([^"]+)"/g)].map((m) => m[1]).concat(master.split('\n').filter((line) => line && !line.startsWith('#')));
  return Object.fromEntries(paths.map((p) => [p.split('/').at(-2), p]));
}

/// SHA-256 of each rendition as a player gets it: the init segment, then all segments in order.
export async function digests(url, v) {
  const out = {};
  const found = renditions_of((await fetch_ok(url + v.links.hls)).toString());
  assert.ok(Object.keys(found).length >= v.rungs.length, 'the master names every rung');
  for (const [name, where] of Object.entries(found)) {
    const playlist = parse_playlist((await fetch_ok(url + where)).toString());
    assert.equal(playlist.ended, true, `${name} is complete`);
    const hash = createHash('sha256');
    // Text has no init segment.
    for (const piece of [playlist.init, ...playlist.segments].filter(Boolean)) hash.update(await fetch_ok(url + piece));
    out[name] = hash.digest('hex');
  }
  return out;
}

/// The blob files below a data directory, sorted.
export async function blob_files(data) {
  const found = await readdir(path.join(data, 'blobs'), { recursive: true, withFileTypes: true });
  return found.filter((entry) => entry.isFile()).map((entry) => entry.name).sort();
}

// ---- Packages -------------------------------------------------------------------------------------------------------

/// Packages of package.json are installed into the build directory, so that this one stays clean; ctest says where.
const packages = process.env.LATHAM_E2E_PACKAGES;
if (!packages) throw new Error('LATHAM_E2E_PACKAGES must name the folder with node_modules; ctest sets it.');

/// A package's module.
export const packaged = createRequire(path.resolve(packages, 'package.json'));

/// The path of a package's file.
export const package_file = (name) => path.join(packages, 'node_modules', name);

// What the server answers is what http/openapi.yaml says, and all of what it says is answered.
//
// Each answer is held against the file: its status is named for that operation (`default` does not count: it stands for what
// this test does not provoke), its content type is named, the headers that it must have are there, and the body is valid,
// with nothing in it that the file does not mention. Then the other way round: each operation, status, content type,
// parameter and event of the file was seen, or is in a list below with a reason. What does not agree is collected, so that
// one run tells all of it.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { form, json, package_file, packaged, parse_playlist, renditions_of, request, running, scenario, seconds, until, within } from './harness.mjs';
import { make_source } from './sources.mjs';

const { parse } = packaged('yaml');
const { default: Ajv } = packaged('ajv/dist/2020');
const { default: add_formats } = packaged('ajv-formats');

const here = path.dirname(fileURLToPath(import.meta.url));
const file = path.resolve(here, '../../http/openapi.yaml');

/// Not provoked here, by operation and status; each is provoked in tests/integration/http.
const uploads = ['POST /api/v1/videos', 'POST /api/video/upload'];
const not_provoked = new Map(uploads.flatMap((operation) => [
  [`${operation} 408`, 'takes half a minute of sending slowly'],
  [`${operation} 429`, 'takes a thousand uploads at once'],
  [`${operation} 503`, 'takes a server that has lost its store'],
]));

const methods = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

/// "video/*" covers "video/mp4".
const covers = (range, type) => range === type || range === '*/*' || (range.endsWith('/*') && type.startsWith(range.slice(0, -1)));

class description {
  constructor(text) {
    this.document = parse(text);
    this.complaints = new Set();
    this.seen = new Set();
    this.ajv = new Ajv({ allErrors: true, allowUnionTypes: true });
    add_formats(this.ajv);
    this.ajv.addVocabulary(['components']);
    this.validators = new Map();
    this.close(this.document, '#');
    this.operations = Object.entries(this.document.paths).flatMap(([template, item]) =>
      methods.filter((method) => item[method]).map((method) => {
        const operation = this.follow(item[method]);
        const resolve = (entries) => Object.fromEntries(Object.entries(entries ?? {}).map(([key, value]) => [key, this.follow(value)]));
        return {
          name: `${method.toUpperCase()} ${template}`,
          method: method.toUpperCase(),
          // {path} may contain slashes, as its description says.
          pattern: new RegExp(`^${template.replace(/[.]/g, '\\.').replace(/\{path\}/, '.+').replace(/\{\w+\}/g, '[^/]+')}$`),
          parameters: [...(item.parameters ?? []), ...(operation.parameters ?? [])].map((parameter) => this.follow(parameter)),
          body_types: Object.keys(this.follow(operation.requestBody ?? {}).content ?? {}),
          responses: resolve(operation.responses),
        };
      }));
  }

  complain(text) {
    this.complaints.add(text);
  }

  follow(node) {
    return node.$ref ? this.follow(node.$ref.slice(2).split('/').reduce((at, key) => at[key], this.document)) : node;
  }

  /// Objects contain what they say and nothing else. A reader of the file must put up with more, this test must not.
  close(node, where) {
    if (typeof node !== 'object' || node === null) return;
    if (node.type === 'object' || node.type?.includes?.('object')) {
      if (!node.properties) this.complain(`${where} does not say what it contains`);
      node.additionalProperties ??= false;
    }
    for (const [key, value] of Object.entries(node)) this.close(value, `${where}/${key}`);
  }

  /// Complains when `value` is not what `schema` wants.
  check(what, schema, value) {
    if (!this.validators.has(schema)) this.validators.set(schema, this.ajv.compile({ ...schema, components: this.document.components }));
    const valid = this.validators.get(schema);
    if (!valid(value))
      for (const error of valid.errors) this.complain(`${what}: ${error.instancePath || 'it'} ${error.message} ${JSON.stringify(error.params)}`);
  }

  /// Complains when an answer is not the operation's; what is seen is noted. `asked`: { method, url, headers }.
  check_answer(asked, answer) {
    const { pathname, searchParams } = new URL(asked.url);
    const operation = this.operations.find((o) => o.method === asked.method && o.pattern.test(pathname));
    assert.ok(operation, `${asked.method} ${pathname} is not in the file`);
    const what = `${operation.name} ${answer.status}`;
    this.seen.add(what);
    if (answer.status < 400) {
      const used = [...[...searchParams.keys()].map((name) => `query ${name}`), ...Object.keys(asked.headers).map((name) => `header ${name}`)];
      for (const parameter of operation.parameters.filter((p) => p.in !== 'path'))
        if (used.includes(`${parameter.in} ${parameter.in === 'header' ? parameter.name.toLowerCase() : parameter.name}`)) this.seen.add(`${operation.name} takes ${parameter.name}`);
      for (const name of searchParams.keys())
        if (!operation.parameters.some((p) => p.in === 'query' && p.name === name)) this.complain(`${operation.name} takes ${name} in its query`);
      const sent = asked.headers['content-type']?.split(';')[0];
      for (const type of operation.body_types) if (sent && covers(type, sent)) this.seen.add(`${operation.name} takes ${type}`);
      if (sent && !operation.body_types.some((type) => covers(type, sent))) this.complain(`${operation.name} takes ${sent}`);
    }
    const response = operation.responses[answer.status];
    if (!response) return this.complain(`${what}: the status is not in the file: ${answer.body ?? ''}`);

    for (const [name, given] of Object.entries(response.headers ?? {})) {
      const { required, schema } = this.follow(given);
      const value = answer.headers[name.toLowerCase()];
      if (value === undefined && required) this.complain(`${what}: it has no ${name}`);
      if (value !== undefined) this.check(`${what}, ${name}`, schema, this.follow(schema).type === 'integer' ? Number(value) : value);
    }

    const type = answer.headers['content-type']?.split(';')[0];
    const content = response.content ?? {};
    const range = type && Object.keys(content).find((r) => covers(r, type));
    if (type && !range) return this.complain(`${what}: the content type ${type} is not in the file`);
    if (!type && Object.keys(content).length > 0) return this.complain(`${what}: it has no content type`);
    if (!type) {
      if (answer.body?.length > 0) this.complain(`${what}: it has a body`);
      return undefined;
    }
    this.seen.add(`${what} ${range}`);
    if (answer.body !== undefined) this.check(what, content[range].schema, /json$/.test(type) ? json(answer) : answer.body.toString());
    return undefined;
  }

  check_event({ kind, data }) {
    const events = this.operations.find((o) => o.name === 'GET /api/v1/events').responses[200].content['text/event-stream']['x-events'];
    this.seen.add(`event ${kind}`);
    if (events[kind]) this.check(`event ${kind}`, events[kind], JSON.parse(data));
    else this.complain(`event ${kind} is not in the file`);
  }

  /// Complains about what the file says and nobody saw.
  check_all_seen() {
    const expect = (what) => this.seen.has(what) || this.complain(`${what}: in the file, but not seen`);
    for (const { name, parameters, body_types, responses } of this.operations) {
      for (const parameter of parameters.filter((p) => p.in !== 'path')) expect(`${name} takes ${parameter.name}`);
      for (const type of body_types) expect(`${name} takes ${type}`);
      for (const [status, { content }] of Object.entries(responses)) {
        if (status === 'default' || not_provoked.has(`${name} ${status}`)) continue;
        expect(`${name} ${status}`);
        for (const [type, { 'x-events': events }] of Object.entries(content ?? {})) {
          expect(`${name} ${status} ${type}`);
          for (const kind of Object.keys(events ?? {})) expect(`event ${kind}`);
        }
      }
    }
    for (const what of not_provoked.keys()) if (this.seen.has(what)) this.complain(`${what}: seen after all, take it from the list`);
  }
}

test('the description passes the linter', async () => {
  const lint = new running(process.execPath, [package_file('@redocly/cli/bin/cli.js'), 'lint', '--config', path.join(here, 'redocly.yaml'), file], {
    env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' },
  });
  const { code } = await within(60 * seconds, 'the end of the linter', lint.ended);
  assert.equal(code, 0, lint.lines.join('\n'));
});

scenario('the server answers as described, and all that is described is answered', 120 * seconds, async (w) => {
  const text = await readFile(file, 'utf8');
  const d = new description(text);
  const capacity = 4_000_000;
  const upload_max = 6_000_000;
  const { url } = await w.one_process(['--token', 'a-token', '--capacity', String(capacity), '--upload-max', String(upload_max)]);
  const authorization = 'Bearer a-token';

  /// Asks and checks the answer.
  const ask = async (status, method, where, { headers = {}, body } = {}) => {
    const asked = { method, url: url + where, headers: { ...(where.startsWith('/api/') ? { authorization } : {}), ...headers }, body };
    for (const [name, value] of Object.entries(asked.headers)) if (value === undefined) delete asked.headers[name];
    const answer = await request(asked.url, asked);
    d.check_answer(asked, answer);
    if (method === 'GET' && answer.status === 200) {
      const head = await request(asked.url, { ...asked, method: 'HEAD' });
      for (const [what, got, wanted] of [['status', head.status, 200], ['type', head.headers['content-type'], answer.headers['content-type']], ['body', head.body.length, 0]])
        if (got !== wanted) d.complain(`HEAD ${where}: ${what} ${got} instead of ${wanted}`);
    }
    if (answer.status !== status) d.complain(`${method} ${where}: ${answer.status} instead of ${status}: ${answer.body}`);
    return answer;
  };
  const listen = (headers = {}) => {
    const follower = w.follow(url, { authorization, ...headers });
    follower.on('answer', (answer) => d.check_answer({ method: 'GET', url: `${url}/api/v1/events`, headers }, answer));
    follower.on('frame', (frame) => d.check_event(frame));
    return follower;
  };
  /// Asks for what a tag names, and for what it does not.
  const is_unchanged = async (where) => ask(304, 'GET', where, { headers: { 'if-none-match': (await ask(200, 'GET', where)).headers.etag } });

  // The server itself.
  await ask(200, 'GET', '/version');
  await is_unchanged('/');
  const page = (await ask(200, 'GET', '/')).body.toString();
  for (const [asset] of page.matchAll(/\/assets\/[^"]+/g)) await is_unchanged(asset);
  await ask(404, 'GET', '/assets/nothing.js');
  await is_unchanged('/openapi.yaml');
  if ((await ask(200, 'GET', '/openapi.yaml')).body.toString() !== text) d.complain('/openapi.yaml is not the file; is the program older?');

  // Uploads, by both addresses, in every form.
  const follower = listen();
  const frames = [];
  follower.on('frame', ({ id }) => frames.push(id));
  await within(10 * seconds, 'the first event', new Promise((done) => follower.once('frame', done)));
  await make_source(w.file('good.mp4'), { width: 256, height: 144, rate: [25, 1], frames: 60 });
  const good = await readFile(w.file('good.mp4'));
  const fields = [{ name: 'title', value: 'a form' }, { name: 'ladder', value: '256x144' }, { name: 'priority', value: 'high' }, { name: 'start', value: '0.5' }];
  const raw = (bytes, type = 'video/mp4', more = {}) => ({ headers: { 'content-type': type, ...more }, body: bytes });
  const made = [];
  for (const where of ['/api/v1/videos', '/api/video/upload']) {
    const accepted = async (...rest) => made.push(json(await ask(201, 'POST', ...rest)).id);
    await accepted(where, form([...fields, { name: 'file', filename: 'good.mp4', bytes: good }]));
    await accepted(`${where}?title=t&ladder=256x144&priority=low&start=0&end=1.5`, raw(good));
    await accepted(`${where}?filename=no_video.mp4`, raw(Buffer.from('no video at all'), 'application/octet-stream'));
    await ask(400, 'POST', `${where}?priority=first`, raw(good));
    await ask(400, 'POST', `${where}?start=2&end=1`, raw(good));
    await ask(401, 'POST', where, raw(good, 'video/mp4', { authorization: 'Bearer another' }));
    await ask(403, 'POST', where, raw(good, 'video/mp4', { 'sec-fetch-site': 'cross-site' }));
    await ask(413, 'POST', where, raw(Buffer.alloc(upload_max + 1)));
    await ask(415, 'POST', where, raw('{}', 'application/json'));
    await ask(422, 'POST', where, raw(Buffer.alloc(0)));
    await ask(507, 'POST', where, raw(Buffer.alloc(capacity + 1)));
  }
  const [, ready, failed] = made;
  await follower.ends(ready);
  const first_failure = await follower.ends(failed, 'failed');
  for (const id of made) await follower.wait(id, 'its end', (v) => v.state === 'ready' || v.state === 'failed');

  // Lists and events.
  const { next } = json(await ask(200, 'GET', '/api/v1/videos?limit=1'));
  await ask(200, 'GET', `/api/v1/videos?cursor=${next}`);
  await ask(400, 'GET', '/api/v1/videos?limit=0');
  await ask(400, 'GET', '/api/v1/videos?cursor=x');
  await ask(401, 'GET', '/api/v1/videos', { headers: { authorization: undefined } });
  await ask(401, 'GET', '/api/v1/events', { headers: { authorization: undefined } });
  const snapshot = listen();
  await snapshot.wait(ready, 'a snapshot with it', () => true);
  const [seen, missed] = frames.slice(-2);
  const replay = listen({ 'last-event-id': seen });
  const { id } = await within(10 * seconds, 'what was missed', new Promise((done) => replay.once('frame', done)));
  assert.equal(id, missed);

  // One video.
  const v = json(await ask(200, 'GET', `/api/v1/videos/${ready}`));
  await ask(200, 'GET', `/api/v1/videos/${failed}`);
  for (const id of ['0'.repeat(26), 'x']) {
    await ask(404, 'GET', `/api/v1/videos/${id}`);
    await ask(404, 'DELETE', `/api/v1/videos/${id}`);
    await ask(404, 'POST', `/api/v1/videos/${id}/retry`);
  }
  for (const [method, where] of [['GET', ''], ['DELETE', ''], ['POST', '/retry']]) {
    await ask(401, method, `/api/v1/videos/${failed}${where}`, { headers: { authorization: undefined } });
    if (method !== 'GET') await ask(403, method, `/api/v1/videos/${failed}${where}`, { headers: { 'sec-fetch-site': 'cross-site' } });
  }
  await ask(409, 'POST', `/api/v1/videos/${ready}/retry`);
  await ask(200, 'POST', `/api/v1/videos/${failed}/retry`);
  await follower.wait(failed, 'a second failure', (x) => x.state === 'failed' && x.revision > first_failure.revision);

  // What players load.
  const media = [v.links.hls, v.links.dash, v.links.poster, v.links.storyboard, `/media/${ready}/storyboard/1.jpg`];
  await ask(404, 'GET', `/media/${ready}/storyboard/99.jpg`);
  const master = (await ask(200, 'GET', v.links.hls)).body.toString();
  for (const where of Object.values(renditions_of(master))) {
    const playlist = parse_playlist((await ask(200, 'GET', where)).body.toString());
    media.push(where, playlist.init, playlist.segments[0]);
  }
  for (const where of media) {
    await is_unchanged(where);
    const { etag } = (await ask(206, 'GET', where, { headers: { range: 'bytes=0-9' } })).headers;
    await ask(206, 'GET', where, { headers: { range: 'bytes=0-9', 'if-range': etag } });
    await ask(416, 'GET', where, { headers: { range: 'bytes=9999999-' } });
    await ask(204, 'OPTIONS', where);
  }
  await ask(404, 'GET', `/media/${ready}/nothing.mp4`);
  await ask(404, 'GET', `/media/${'0'.repeat(26)}/master.m3u8`);
  await ask(409, 'GET', `/media/${failed}/master.m3u8`);

  // The end.
  for (const id of made) await ask(204, 'DELETE', `/api/v1/videos/${id}`);
  await follower.wait(ready, 'its end', (x) => x.state === 'deleting');
  await until(20 * seconds, 'an empty list', async () => json(await ask(200, 'GET', '/api/v1/videos')).videos.length === 0);
  // Nobody described these, but what they get is the same for all.
  for (const [method, where] of [['GET', '/nothing/here'], ['PUT', '/version']]) {
    const answer = await request(url + where, { method });
    assert.equal(answer.headers['content-type'], 'application/problem+json');
    d.check(`${method} ${where}`, { $ref: '#/components/schemas/Problem' }, json(answer));
  }
  d.check_all_seen();
  assert.deepEqual([...d.complaints], []);
});

// Text subtitles go in with a video and come out as WebVTT behind both manifests, each cue at its time; `latham encode` makes
// the same; and a film full of traps in its words cannot reach the page.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { digests, fetch_ok, latham, parse_playlist, renditions_of, request, running, scenario, seconds, upload } from './harness.mjs';
import { ffmpeg, make_source, numbers_shown } from './sources.mjs';

const words = `1
00:00:00,500 --> 00:00:01,250
Hello <i>world</i> & more

2
00:00:02,000 --> 00:00:03,500
a --> b <img src=x onerror=alert(1)>

3
00:00:05,900 --> 00:00:09,000
Beyond the end
`;
const cues = [
  ['00:00:00.500 --> 00:00:01.250', /^Hello world &amp; more$/],
  ['00:00:02.000 --> 00:00:03.500', /^a --(&gt;)? b/], // the ffmpeg command writes no arrows into WebVTT
  ['00:00:05.900 --> 00:00:06.000', /^Beyond the end$/],
];

/// What the ffmpeg tools say about subtitles of streams, which they do not read. Everything else is a complaint.
const allowed = [/Can't support the subtitle\(uri: /, /^\s*$/];

async function complaints_of(url) {
  const child = spawn('ffprobe', ['-hide_banner', '-loglevel', 'warning', '-show_streams', '-of', 'json', url], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '', said = '';
  child.stdout.on('data', (text) => (out += text));
  child.stderr.on('data', (text) => (said += text));
  const [code] = await once(child, 'close');
  assert.equal(code, 0, `${url}: ${said}`);
  return { kinds: JSON.parse(out).streams.map((s) => s.codec_type).sort(), complaints: said.split('\n').filter((line) => !allowed.some((a) => a.test(line))) };
}

function check_cues(text, what) {
  const blocks = text.trimEnd().split('\n\n');
  assert.equal(blocks[0], 'WEBVTT', what);
  assert.equal(blocks.length, cues.length + 1, text);
  cues.forEach(([times, line], i) => {
    const [t, ...lines] = blocks[i + 1].split('\n');
    assert.equal(t, times, what);
    assert.match(lines.join('\n'), line, what);
  });
  assert.doesNotMatch(text, /</, what);
}

async function film(w, name, codec) {
  const [bare, srt, file] = [w.file('bare.mp4'), w.file('words.srt'), w.file(name)];
  await make_source(bare, { width: 320, height: 180, rate: [25, 1], frames: 150 });
  await writeFile(srt, words);
  const more = name.endsWith('webm') ? ['-c:v', 'libvpx', '-deadline', 'realtime', '-c:a', 'libopus'] : ['-c:v', 'copy', '-c:a', 'copy'];
  await ffmpeg('-i', bare, '-i', srt, '-i', srt, '-map', '0', '-map', '1', '-map', '2', ...more, '-c:s', codec,
    '-metadata:s:s:0', 'language=eng', '-metadata:s:s:1', 'language=deu', '-metadata:s:s:0', 'title=For "all" <of> you', file);
  return file;
}

scenario('text subtitles of every container are renditions of both manifests', 180 * seconds, async (w) => {
  const server = await w.one_process();
  const follower = w.follow(server.url);
  for (const [name, codec] of [['a.mkv', 'srt'], ['b.mkv', 'ass'], ['c.mp4', 'mov_text'], ['d.webm', 'webvtt']]) {
    const file = await film(w, name, codec);
    const v = await follower.ends((await upload(server.url, file, { ladder: '320x180' })).id);
    assert.deepEqual(v.notes, [], name);
    const master = (await fetch_ok(server.url + v.links.hls)).toString();
    const media = master.split('\n').filter((line) => line.includes('TYPE=SUBTITLES'));
    assert.equal(media.length, 2, master);
    assert.match(media[1], /LANGUAGE="deu"/);
    if (name.endsWith('mkv')) assert.match(media[0], /NAME="For all of you",LANGUAGE="eng",DEFAULT=NO/);
    assert.match(master, /#EXT-X-STREAM-INF:.*SUBTITLES="text"/);
    const where = renditions_of(master);
    for (const track of ['text-0', 'text-1']) {
      const playlist = parse_playlist((await fetch_ok(server.url + where[track])).toString());
      assert.deepEqual([playlist.kind, playlist.ended, playlist.durations], ['VOD', true, [6]]);
      const answer = await request(server.url + playlist.segments[0]);
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['content-type'], 'text/vtt');
      assert.equal(answer.headers['x-content-type-options'], 'nosniff');
      check_cues(answer.body.toString(), `${name} ${track}`);
      const dash = (await fetch_ok(server.url + v.links.dash)).toString();
      assert.ok(dash.includes(`<BaseURL>${playlist.segments[0]}</BaseURL>`), dash);
    }
    for (const missing of ['text-2/playlist.m3u8', 'text-0/2.vtt', 'text-0/init.mp4']) assert.equal((await request(`${server.url}/media/${v.id}/${missing}`)).status, 404, missing);
    for (const link of [v.links.hls, v.links.dash]) {
      const { kinds, complaints } = await complaints_of(server.url + link);
      assert.deepEqual(complaints, [], `${name} through ${link}`);
      assert.deepEqual(kinds.filter((kind) => kind !== 'subtitle'), ['audio', 'video'], `${name} through ${link}`);
    }
  }
});

scenario('four processes and `latham encode` make the same subtitles, and pictures of words are left out', 150 * seconds, async (w) => {
  const file = await film(w, 'a.mkv', 'srt');
  const four = await w.four_processes();
  const follower = w.follow(four.url);
  const v = await follower.ends((await upload(four.url, file, { ladder: '320x180' })).id);
  const made = await digests(four.url, v);
  assert.deepEqual(Object.keys(made).sort(), ['320x180', 'audio-0', 'text-0', 'text-1']);

  const run = new running(latham, ['encode', file, w.file('out'), '-s', '320x180', '--slots', '2', '--json']);
  assert.equal((await run.ended).code, 0, run.lines.join('\n'));
  assert.deepEqual(JSON.parse(run.lines.join('\n')).text.map(({ name, language }) => [name, language]), [['text-0', 'eng'], ['text-1', 'deu']]);
  const where = renditions_of(await readFile(path.join(w.file('out'), 'master.m3u8'), 'utf8'));
  for (const track of ['text-0', 'text-1']) {
    const playlist = path.join(w.file('out'), where[track]);
    const bytes = await readFile(path.resolve(path.dirname(playlist), parse_playlist(await readFile(playlist, 'utf8')).segments[0]));
    assert.deepEqual(bytes, await fetch_ok(`${four.url}/media/${v.id}/${track}/1.vtt`));
  }

  // The name of a format whose subtitles are pictures, as long as that of text.
  const bytes = await readFile(file);
  for (let at = bytes.indexOf('S_TEXT/UTF8'); at >= 0; at = bytes.indexOf('S_TEXT/UTF8')) bytes.write('S_HDMV/PGS\0', at, 'latin1');
  const bare = await follower.ends((await upload(four.url, bytes, { ladder: '320x180' })).id);
  assert.equal(bare.notes.length, 1);
  assert.match(bare.notes[0], /2 subtitle tracks are left out: pictures of words/);
  assert.doesNotMatch((await fetch_ok(four.url + bare.links.hls)).toString(), /SUBTITLES/);
  assert.deepEqual(await numbers_shown(four.url + bare.links.hls, '0:v:0', 320, 180), Array.from({ length: 150 }, (_, k) => k));
});

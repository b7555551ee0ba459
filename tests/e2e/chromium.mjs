// A browser for tests, and a page in it that plays streams with hls.js and with shaka-player.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { package_file, packaged, seconds, within } from './harness.mjs';

const { chromium } = packaged('playwright-core');

/// Ends with the world.
export async function launch(w) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--autoplay-policy=no-user-gesture-required', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  w.closers.push(() => browser.close());
  return browser;
}

/// For `more` of web_server.
export const player_files = async () => ({
  '/players.html': await readFile(new URL('players.html', import.meta.url)),
  '/hls.js': await readFile(package_file('hls.js/dist/hls.min.js')),
  '/shaka.js': await readFile(package_file('shaka-player/dist/shaka-player.compiled.js')),
});

/// Pages that note what they complain about; several may play at once.
export async function player_page(browser, base) {
  const page = await browser.newPage({ viewport: { width: 640, height: 400 } });
  const complaints = [];
  page.on('pageerror', (e) => complaints.push(String(e)));
  page.on('console', (m) => ['error', 'warning'].includes(m.type()) && complaints.push(m.text()));
  page.on('requestfailed', (r) => r.failure()?.errorText !== 'net::ERR_ABORTED' && complaints.push(`${r.url()}: ${r.failure()?.errorText}`));
  await page.goto(`${base}/players.html`);
  assert.equal(await page.evaluate(() => window.Hls.isSupported() && window.shaka.Player.isBrowserSupported()), true);
  return {
    /// Plays each [player, url] from its beginning to its end; see players.html for what comes back.
    play: async (plays) => {
      // The page has deadlines of its own; a player that keeps it busy for ever does not let them come.
      const seen = await within(60 * seconds, `an answer of the page that plays ${plays.map(([, url]) => url)}`, page.evaluate((all) => window.play_through(all), plays));
      const said = complaints.splice(0);
      return seen.map((one) => ({ ...one, complaints: [...one.complaints, ...said] }));
    },
  };
}

// Videos whose every frame says its number and whose every second begins with a beep, drawn here, encoded by the ffmpeg
// command, and read back by it from a server's HLS and DASH.
//
// A number is twelve bits in a 4 x 3 grid of black and white blocks over the frame's upper half, and the same bits inverted
// over its lower half: a block that scaling and encoding damaged does not read as another number but as none.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { running } from './harness.mjs';

const columns = 4;
const rows = 6;

export function draw(number, width, height) {
  const frame = Buffer.alloc(width * height);
  for (let row = 0; row < rows; ++row) {
    const line = Buffer.alloc(width);
    for (let x = 0; x < width; ++x) {
      const bit = (row % 3) * columns + Math.floor((x * columns) / width);
      line[x] = ((number >> bit) & 1) !== (row >= 3 ? 1 : 0) ? 225 : 30;
    }
    for (let y = Math.ceil((row * height) / rows); y < Math.ceil(((row + 1) * height) / rows); ++y) line.copy(frame, y * width);
  }
  return frame;
}

/// The number that a grey frame shows, or -1.
export function read(frame, width, height) {
  const mean = (row, column) => {
    // The middle of the block: its borders are blurred.
    const [x0, x1] = [1, 3].map((q) => Math.floor(((4 * column + q) * width) / (4 * columns)));
    const [y0, y1] = [1, 3].map((q) => Math.floor(((4 * row + q) * height) / (4 * rows)));
    let sum = 0;
    for (let y = y0; y < y1; ++y) for (let x = x0; x < x1; ++x) sum += frame[y * width + x];
    return sum / ((y1 - y0) * (x1 - x0));
  };
  let number = 0;
  for (let bit = 0; bit < columns * 3; ++bit) {
    const row = Math.floor(bit / columns);
    const [upper, lower] = [mean(row, bit % columns), mean(row + 3, bit % columns)];
    if (Math.abs(upper - lower) < 80) return -1;
    if (upper > lower) number |= 1 << bit;
  }
  return number;
}

/// Runs ffmpeg; it must end well.
export async function ffmpeg(...args) {
  const run = new running('ffmpeg', ['-hide_banner', '-nostdin', '-loglevel', 'error', '-y', ...args]);
  const { code } = await run.ended;
  assert.equal(code, 0, `ffmpeg ${args.join(' ')}: ${run.lines.join('\n')}`);
}

/// Makes `file`: `frames` frames at `rate` ([num, den]) of width x height, number k at frame k; a 1 kHz beep of 50 ms at
/// each full second unless `sound` is false. `noise` makes it expensive to encode.
export async function make_source(file, { width, height, rate: [num, den], frames, sound = true, noise = 0, more = [] }) {
  const length = (frames * den) / num;
  const beep = '0.6*sin(2*PI*1000*t)*lt(mod(t,1),0.05)';
  const child = spawn('ffmpeg', [
    '-hide_banner', '-loglevel', 'error', '-y',
    '-f', 'rawvideo', '-pix_fmt', 'gray', '-s', `${width}x${height}`, '-r', `${num}/${den}`, '-i', '-',
    ...(sound ? ['-f', 'lavfi', '-i', `aevalsrc=exprs='${beep}|${beep}':s=48000:c=stereo:d=${length}`, '-map', '0:v', '-map', '1:a', '-c:a', 'aac'] : []),
    ...(noise ? ['-vf', `noise=alls=${noise}:allf=t`] : []),
    '-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '18', '-g', String(Math.round((num / den) * 2)), '-pix_fmt', 'yuv420p', ...more, file,
  ], { stdio: ['pipe', 'ignore', 'inherit'] });
  const ended = once(child, 'close');
  child.stdin.on('error', () => {}); // its exit code says it better
  for (let i = 0; i < frames; ++i)
    if (!child.stdin.write(draw(i, width, height))) await Promise.race([once(child.stdin, 'drain'), ended]);
  child.stdin.end();
  const [code] = await ended;
  assert.equal(code, 0, 'ffmpeg makes the source');
}

/// Makes `file` of sound alone: a 1 kHz beep of 50 ms at each full second.
export async function make_sound(file, seconds, more) {
  const beep = '0.6*sin(2*PI*1000*t)*lt(mod(t,1),0.05)';
  await ffmpeg('-f', 'lavfi', '-i', `aevalsrc=exprs='${beep}|${beep}':s=48000:c=stereo:d=${seconds}`, ...more, file);
}

/// Standard output of a tool that must end well and have nothing to say about its input.
export async function silent_output(program, args) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const pieces = [];
  let complaints = '';
  child.stdout.on('data', (piece) => pieces.push(piece));
  child.stderr.on('data', (text) => (complaints += text));
  const [code] = await once(child, 'close');
  assert.equal(complaints, '', `${program} ${args.join(' ')} has something to say`);
  assert.equal(code, 0, `${program} ${args.join(' ')}`);
  return Buffer.concat(pieces);
}

/// Numbers of all frames that a manifest's stream shows, in order.
export async function numbers_shown(url, map, width, height) {
  const raw = await silent_output('ffmpeg', ['-hide_banner', '-nostdin', '-loglevel', 'warning', '-i', url, '-map', map, '-fps_mode', 'passthrough', '-f', 'rawvideo', '-pix_fmt', 'gray', '-']);
  assert.equal(raw.length % (width * height), 0);
  return Array.from({ length: raw.length / (width * height) }, (_, i) => read(raw.subarray(i * width * height, (i + 1) * width * height), width, height));
}

/// Sample positions (48 kHz) where a beep begins after a quarter second of quiet, and the number of samples.
export async function beeps_heard(url, map) {
  const raw = await silent_output('ffmpeg', ['-hide_banner', '-nostdin', '-loglevel', 'warning', '-i', url, '-map', map, '-f', 's16le', '-ac', '1', '-ar', '48000', '-']);
  const beeps = [];
  let last_loud = -48000;
  for (let i = 0; i < raw.length / 2; ++i) {
    if (Math.abs(raw.readInt16LE(2 * i)) < 4000) continue;
    if (i - last_loud > 12000) beeps.push(i);
    last_loud = i;
  }
  return { beeps, samples: raw.length / 2 };
}

/// Times of a stream's packets in the order shown, and of its key frames among them.
export async function packets_of(url, stream) {
  const text = (await silent_output('ffprobe', ['-hide_banner', '-loglevel', 'warning', '-select_streams', stream, '-show_entries', 'packet=pts_time,flags', '-of', 'csv=p=0', url])).toString();
  const packets = text.trim().split('\n').map((line) => line.split(','));
  const ascending = (a, b) => a - b;
  return {
    times: packets.map(([time]) => Number(time)).sort(ascending),
    keys: packets.filter(([, flags]) => flags.includes('K')).map(([time]) => Number(time)).sort(ascending),
  };
}

export const frame_rates = [[24, 1], [25, 1], [30, 1], [24000, 1001], [30000, 1001], [15, 1]];

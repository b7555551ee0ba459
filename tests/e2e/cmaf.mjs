// A rendition as mp4box reads it, a parser that shares nothing with the muxer: what each box says, and that the boxes agree
// with each other and with the playlist. Throws at the first disagreement.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { packaged, parse_playlist } from './harness.mjs';

const mp4box = packaged('mp4box');
const complaints = [];
// Neither is a fault: an empty box of iTunes that the muxer leaves in the init segment, and a styp for each segment.
const fine = /Unknown box type: 'ilst'|Duplicate Box of type: styp/;
mp4box.Log.warn = mp4box.Log.error = (where, text) => fine.test(text) || complaints.push(`${where}: ${text}`);

/// All of `pieces`, one after the other.
function parsed(pieces) {
  const file = mp4box.createFile();
  file.onError = (text) => complaints.push(text);
  let at = 0;
  for (const piece of pieces) {
    const copy = new Uint8Array(piece).buffer;
    copy.fileStart = at;
    at += piece.length;
    file.appendBuffer(copy);
  }
  file.flush();
  assert.deepEqual(complaints.splice(0), [], 'mp4box has something to say');
  assert.equal(file.boxes.reduce((sum, box) => sum + box.size, 0), at, 'boxes fill the pieces to the last byte');
  return file;
}

const types = (file) => file.boxes.map((box) => box.type);

/// { track, timescale, segments: [{ start, duration, samples }], samples } of the playlist in `file`; times are in ticks, with
/// the edit list taken off.
export async function read_rendition(file) {
  const playlist = parse_playlist(await readFile(file, 'utf8'));
  assert.equal(playlist.kind, 'VOD');
  assert.equal(playlist.ended, true);
  const piece = (name) => readFile(path.resolve(path.dirname(file), name));
  const init = await piece(playlist.init);
  const pieces = await Promise.all(playlist.segments.map(piece));

  const head = parsed([init]);
  assert.deepEqual(types(head), ['ftyp', 'moov']);
  assert.ok(head.ftyp.compatible_brands.includes('cmfc'), 'the init segment is CMAF');
  assert.equal(head.moov.traks.length, 1);
  assert.equal(head.moov.mvex.trexs.length, 1);
  const track = head.getInfo().tracks[0];
  assert.equal(track.nb_samples, 0);
  const edits = head.moov.traks[0].edts?.elst.entries ?? [];
  assert.ok(edits.length <= 1, 'at most one edit');
  const delay = edits[0]?.media_time ?? 0;

  pieces.forEach((bytes, i) => {
    const where = `segment ${i + 1}`;
    const segment = parsed([bytes]);
    assert.deepEqual(types(segment), ['styp', 'moof', 'mdat'], where);
    const [styp, moof, mdat] = segment.boxes;
    assert.ok(styp.compatible_brands.includes('cmfs') && styp.compatible_brands.includes('msdh'), `brands of ${where}: ${styp.compatible_brands}`);
    assert.equal(moof.mfhd.sequence_number, i + 1, where);
    assert.equal(moof.trafs.length, 1, where);
    const [traf] = moof.trafs;
    assert.equal(traf.tfhd.track_id, track.id, where);
    assert.ok(traf.tfhd.flags & 0x20000, `the data of ${where} is found from its moof`);
    assert.equal(traf.truns.length, 1, where);
    const [run] = traf.truns;
    assert.equal(run.data_offset, moof.size + mdat.hdr_size, where);
    const bytes_of_samples = run.sample_size.length ? run.sample_size.reduce((a, b) => a + b, 0) : run.sample_count * traf.tfhd.default_sample_size;
    assert.equal(bytes_of_samples, mdat.size - mdat.hdr_size, `${where} holds its samples and nothing else`);
  });

  const whole = parsed([init, ...pieces]);
  const samples = whole.getTrackSamplesInfo(track.id);
  // Read from the boxes, not from the samples: those would be contiguous by the parser's own sums.
  const decode_times = whole.moofs.map((moof) => moof.trafs[0].tfdt.baseMediaDecodeTime);
  let next = 0;
  const segments = playlist.segments.map((_, i) => {
    const where = `segment ${i + 1}`;
    const own = samples.filter((sample) => sample.moof_number === i + 1);
    assert.ok(own.length > 0, `${where} has samples`);
    assert.equal(decode_times[i], next, `${where} begins where the one before ends`);
    assert.equal(own[0].dts, next, where);
    assert.equal(own[0].is_sync, true, `${where} begins with a key frame`);
    const duration = own.reduce((sum, sample) => sum + sample.duration, 0);
    next += duration;
    assert.ok(Math.abs(playlist.durations[i] - duration / track.timescale) < 1e-5, `${where} lasts what the playlist says`);
    return { start: decode_times[i], duration, samples: own };
  });
  assert.equal(segments.reduce((sum, { samples: own }) => sum + own.length, 0), samples.length);
  return { track, timescale: track.timescale, delay, segments, samples };
}

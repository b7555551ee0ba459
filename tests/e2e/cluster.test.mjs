// Several schedulers and several storage nodes, as processes. Each scheduler has a shard of the videos, each storage node
// copies of what is stored, and workers serve them all. What one of them loses, its process or its disk, costs time and no
// byte; and of two processes of one name one stops.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { chance, digests, free_port, json, latham, request, scenario, seconds, until, upload, within } from './harness.mjs';
import { make_source } from './sources.mjs';

const source = { width: 640, height: 360, rate: [25, 1], frames: 300, noise: 20 };

/// The node whose log says that it took the video.
const home_of = (cluster, id) => cluster.schedulers.find((node) => node.runs.some((run) => run.lines.some((line) => line.includes(`video queued video=${id}`))));

/// The options of that name among `args`, with their values; and all but those.
const pairs = (args, option) => args.flatMap((word, i) => (word === option ? [word, args[i + 1]] : []));
const without = (args, option) => args.filter((word, i) => word !== option && args[i - 1] !== option);

/// What `latham leave` says of a node: { code, out }.
const leave = (node, ...words) =>
  new Promise((resolve) => execFile(latham, ['leave', '--admin', `127.0.0.1:${node.admin}`, ...words], (error, out) => resolve({ code: error?.code ?? 0, out })));

const listed = async (url) => json(await request(`${url}/api/v1/videos?limit=200`)).videos;

/// Uploads until each scheduler has at least `least` of them: where one goes is drawn by chance. { id, home } of each.
async function upload_to_all(cluster, file, least, title) {
  const out = [];
  const short = () => cluster.schedulers.some((node) => out.filter(({ home }) => home === node).length < least);
  while (short()) {
    assert.ok(out.length < 40, 'chance never sends two schedulers the same forty videos');
    const { id } = await upload(cluster.url, file, { title: `${title}-${out.length}` });
    await until(10 * seconds, `a home of ${id}`, () => home_of(cluster, id) !== undefined);
    out.push({ id, home: home_of(cluster, id) });
  }
  return out;
}

scenario('two schedulers share the work, and the death of either changes no byte', 300 * seconds, async (w) => {
  const file = w.file('source.mp4');
  await make_source(file, source);
  const cluster = await w.cluster({ schedulers: 2, workers: 2, slots: 1, args: ['--log-level', 'debug'] });
  const follower = w.follow(cluster.url);
  const wanted = await digests(cluster.url, await follower.ends((await upload(cluster.url, file, { title: 'calm' })).id));

  const videos = await upload_to_all(cluster, file, 2, 'shared');
  const victim = chance('victim').one_of(cluster.schedulers);
  const its_last = videos.findLast(({ home }) => home === victim);
  await follower.wait(its_last.id, 'anything', () => true);
  await victim.restart('SIGKILL');
  await cluster.ready();
  for (const { id } of videos) assert.deepEqual(await digests(cluster.url, await follower.ends(id, 'ready', 120 * seconds)), wanted, `video ${id}`);
  assert.equal((await listed(cluster.url)).length, videos.length + 1);
  // Both schedulers were served by both workers.
  for (const scheduler of cluster.schedulers)
    for (const worker of cluster.workers)
      assert.ok(scheduler.runs.some((run) => run.lines.some((line) => /lease granted/.test(line) && line.includes(`worker=${worker.name}`))), `${scheduler.name} granted nothing to ${worker.name}`);
});

scenario('a scheduler that lost its disk gets its videos back from storage', 300 * seconds, async (w) => {
  const file = w.file('source.mp4');
  await make_source(file, source);
  const cluster = await w.cluster({ schedulers: 2, workers: 1, slots: 2 });
  const follower = w.follow(cluster.url);
  const before = await upload_to_all(cluster, file, 1, 'before');
  const wanted = await digests(cluster.url, await follower.ends(before[0].id, 'ready', 120 * seconds));
  for (const { id } of before) await follower.ends(id, 'ready', 120 * seconds);
  const victim = cluster.schedulers[1];
  const deleted = before.find(({ home }) => home === victim);
  assert.equal((await request(`${cluster.url}/api/v1/videos/${deleted.id}`, { method: 'DELETE' })).status, 204);
  const during = await upload_to_all(cluster, file, 1, 'during');

  await victim.kill('SIGKILL');
  await rm(victim.data, { recursive: true });
  await victim.start();
  await cluster.ready();
  const kept = [...before.filter((v) => v !== deleted), ...during];
  for (const { id } of kept) {
    await until(60 * seconds, `${id} is ready again`, async () => {
      const answer = await request(`${cluster.url}/api/v1/videos/${id}`);
      return answer.status === 200 && json(answer).state === 'ready';
    });
    assert.deepEqual(await digests(cluster.url, json(await request(`${cluster.url}/api/v1/videos/${id}`))), wanted, `video ${id}`);
  }
  assert.equal((await request(`${cluster.url}/api/v1/videos/${deleted.id}`)).status, 404, 'what was deleted stays deleted');
  assert.deepEqual((await listed(cluster.url)).map(({ id }) => id).sort(), kept.map(({ id }) => id).sort());
});

scenario('of two processes of one name the later works on and the earlier stops', 120 * seconds, async (w) => {
  const file = w.file('source.mp4');
  await make_source(file, { ...source, frames: 100 });
  const cluster = await w.cluster({ workers: 1 });
  const first = cluster.workers[0];
  first.may_break = true; // that it says why it stops is the point
  const second = await w.add('worker-0', first.args.filter((_, i) => first.args[i] !== '--admin' && first.args[i - 1] !== '--admin'));
  await second.start();
  const how = await within(30 * seconds, 'the end of the earlier process', first.now.ended);
  assert.notEqual(how.code, 0, 'what stops for this reason is no success');
  assert.ok(first.now.lines.some((line) => /a later process of its name is alive/.test(line)), first.now.lines.join('\n'));
  await w.follow(cluster.url).ends((await upload(cluster.url, file)).id);
  assert.equal(second.now.end, undefined);
});

scenario('one storage node becomes three, and one again, and every byte is still there', 420 * seconds, async (w) => {
  const file = w.file('source.mp4');
  await make_source(file, { ...source, frames: 200 });
  const cluster = await w.cluster({ storages: 1, workers: 1, slots: 2 });
  const follower = w.follow(cluster.url);
  const before = (await upload(cluster.url, file, { title: 'before' })).id;
  const wanted = await digests(cluster.url, await follower.ends(before, 'ready', 120 * seconds));
  const [first] = cluster.storages;
  const address = { [first.name]: first.args[first.args.indexOf('--cluster') + 1] };
  const joined = [];
  for (const name of ['storage-1', 'storage-2']) {
    const at = await free_port();
    address[name] = `127.0.0.1:${at}`;
    const node = await w.add(name, ['--roles', 'storage', '--name', name, '--cluster', address[name], '--data', w.file(name), '--free-reserve', '64MB', ...pairs(first.args, '--scheduler')]);
    node.data = w.file(name);
    joined.push(node);
  }
  /// As the guide says: who asks and writes first, who keeps last.
  const tell = async (names, draining, nodes) => {
    for (const node of nodes) {
      const others = names.filter((name) => name !== node.name).flatMap((name) => ['--storage', `${name}=${address[name]}`]);
      node.args = [...without(without(node.args, '--storage'), '--draining'), ...others, ...draining.flatMap((name) => ['--draining', name])];
      if (node.now && !node.now.end) await node.restart('SIGTERM');
      else await node.start();
    }
  };
  const clients = [...cluster.schedulers, ...cluster.workers, cluster.gateway];
  const plays = async (ids) => {
    for (const id of ids) {
      await until(90 * seconds, `${id} is ready`, async () => {
        const answer = await request(`${cluster.url}/api/v1/videos/${id}`).catch(() => ({}));
        return answer.status === 200 && json(answer).state === 'ready';
      });
      assert.deepEqual(await digests(cluster.url, json(await request(`${cluster.url}/api/v1/videos/${id}`))), wanted, id);
    }
  };
  const all = Object.keys(address);
  await tell(all, [], [...joined, ...clients, first]);
  await cluster.ready();
  const refused = await leave(joined[0]);
  assert.equal(refused.code, 1);
  assert.match(refused.out, /--draining/);
  const during = (await upload(cluster.url, file, { title: 'during' })).id;
  await plays([before, during]);

  await tell(all, ['storage-1', 'storage-2'], [...clients, ...joined, first]);
  for (const node of joined) assert.deepEqual(await leave(node, '--wait'), { code: 0, out: 'may leave\n' });
  for (const node of joined) {
    await node.kill('SIGTERM');
    await rm(node.data, { recursive: true });
  }
  await tell([first.name], [], [...clients, first]);
  await cluster.ready();
  await plays([before, during]);
  const after = (await upload(cluster.url, file, { title: 'after' })).id;
  await plays([after]);
});

scenario('a scheduler gives its videos away before it leaves, and gets them back when it returns', 300 * seconds, async (w) => {
  const file = w.file('source.mp4');
  await make_source(file, { ...source, frames: 100 });
  const cluster = await w.cluster({ schedulers: 2, workers: 1, slots: 2 });
  const [heir, leaving] = cluster.schedulers;
  const follower = w.follow(cluster.url);
  const videos = await upload_to_all(cluster, file, 1, 'before');
  let wanted;
  for (const { id } of videos) wanted = await digests(cluster.url, await follower.ends(id, 'ready', 120 * seconds));
  const theirs = videos.filter(({ home }) => home === leaving).map(({ id }) => id);
  // While a scheduler begins anew, what is asked of it fails with a 503 or 504, and a player asks again.
  const play = async (ids) => {
    for (const id of ids) {
      let found;
      await until(60 * seconds, `${id} plays`, async () => {
        const answer = await request(`${cluster.url}/api/v1/videos/${id}`);
        found = answer.status === 200 && json(answer).state === 'ready' && (await digests(cluster.url, json(answer)).catch(() => undefined));
        return Boolean(found);
      });
      assert.deepEqual(found, wanted, id);
    }
  };
  const as_it_was = leaving.args;
  const other = ['--scheduler', `${heir.name}=${heir.args[heir.args.indexOf('--cluster') + 1]}`];
  leaving.args = [...as_it_was, ...other, '--draining', leaving.name];
  await leaving.restart('SIGTERM');
  assert.deepEqual(await leave(leaving, '--wait'), { code: 0, out: 'may leave\n' });
  await leaving.kill('SIGTERM');
  await rm(leaving.data, { recursive: true });
  const { gateway } = cluster;
  const with_both = gateway.args;
  const gone = pairs(with_both, '--scheduler').find((word) => word.startsWith(`${leaving.name}=`));
  gateway.args = with_both.filter((word, i) => word !== gone && with_both[i + 1] !== gone);
  await gateway.restart('SIGTERM');
  await cluster.ready();
  await play(videos.map(({ id }) => id));
  await until(30 * seconds, 'a list of all', async () => (await listed(cluster.url).catch(() => [])).length === videos.length);
  const granted = heir.runs.flatMap((run) => run.lines).filter((line) => /lease granted/.test(line));
  for (const id of theirs) assert.ok(!granted.some((line) => line.includes(id)), 'what came with its shard is not encoded again');

  leaving.args = [...as_it_was, ...other];
  await leaving.start();
  gateway.args = with_both;
  await gateway.restart('SIGTERM');
  await until(60 * seconds, 'its shard is its own again', () => leaving.now.lines.some((line) => /shard owned shard=1/.test(line)));
  await play(videos.map(({ id }) => id));
  // The one that gave it away begins anew just then: try again, as the answer says.
  for (const { id } of videos) await until(30 * seconds, `${id} is deleted`, async () => (await request(`${cluster.url}/api/v1/videos/${id}`, { method: 'DELETE' })).status === 204);
});

scenario('two storage nodes: each loses its disk in turn, and every byte is still there', 300 * seconds, async (w) => {
  const file = w.file('source.mp4');
  await make_source(file, { ...source, frames: 200 });
  const cluster = await w.cluster({ storages: 2, workers: 1, slots: 2, args: ['--log-level', 'debug'] });
  const follower = w.follow(cluster.url);
  const before = (await upload(cluster.url, file, { title: 'before' })).id;
  const wanted = await digests(cluster.url, await follower.ends(before, 'ready', 120 * seconds));
  // With their lengths: a copy that is on its way has its file already, and must not be the only one yet.
  const blobs = async (node) => {
    const found = await readdir(path.join(node.data, 'blobs'), { recursive: true, withFileTypes: true });
    const files = found.filter((entry) => entry.isFile());
    return Promise.all(files.map(async (entry) => `${entry.name} ${(await stat(path.join(entry.path, entry.name))).size}`)).then((all) => all.sort(), () => null); // one went meanwhile
  };
  const alike = async () => {
    const [one, other] = [await blobs(cluster.storages[0]), await blobs(cluster.storages[1])];
    return one !== null && JSON.stringify(one) === JSON.stringify(other);
  };
  await until(60 * seconds, 'two copies of every blob', alike);
  const all = await blobs(cluster.storages[0]);
  assert.ok(all.length >= 3, `${all.length} blobs`);

  // Nothing is under way, so that what is on the two disks can be compared.
  const another = (await upload(cluster.url, file, { title: 'another' })).id;
  await follower.ends(another, 'ready', 120 * seconds);
  await until(60 * seconds, 'two copies of every blob', alike);
  for (const victim of cluster.storages) {
    const [other] = cluster.storages.filter((node) => node !== victim);
    const rounds = () => other.now.lines.filter((line) => /repair round ends/.test(line)).length;
    const before_it = rounds();
    await victim.kill('SIGKILL');
    await rm(victim.data, { recursive: true });
    await victim.start();
    await cluster.ready();
    for (const id of [before, another]) {
      await until(90 * seconds, `${id} is ready`, async () => {
        const answer = await request(`${cluster.url}/api/v1/videos/${id}`);
        return answer.status === 200 && json(answer).state === 'ready';
      });
      assert.deepEqual(await digests(cluster.url, json(await request(`${cluster.url}/api/v1/videos/${id}`))), wanted, `${id} without the disk of ${victim.name}`);
    }
    // The end of a round says that what was sent is sealed, too.
    await until(90 * seconds, `the copies of ${victim.name} again`, async () => rounds() > before_it && (await alike()));
  }
  for (const id of [before, another]) assert.equal((await request(`${cluster.url}/api/v1/videos/${id}`, { method: 'DELETE' })).status, 204);
  await until(60 * seconds, 'two empty disks', async () => (await blobs(cluster.storages[0]))?.length === 0 && (await blobs(cluster.storages[1]))?.length === 0);
});

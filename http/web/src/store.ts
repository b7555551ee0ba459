// What the page shows, as signals. The server's truth comes in through events; uploads of this tab are our own until the
// server has them.
import { computed, signal } from '@preact/signals';
import * as api from './api';
import type { Page, Video } from './model';

export const videos = signal<ReadonlyMap<string, Video>>(new Map());
export const loaded = signal(false);
export const next = signal<string | null>(null);
/// Said to screen readers; short, and only what somebody waits for.
export const announcement = signal('');

export interface Upload {
  key: number;
  file: File;
  options: api.UploadOptions;
  phase: 'waiting' | 'sending' | 'storing' | 'failed';
  sent: number;
  total: number;
  startedMs: number;
  error: string;
  cancel: () => void;
}

export const uploads = signal<readonly Upload[]>([]);

/// Newest first; ids begin with their time. A video that this tab is still sending is shown once, as the upload.
export const shown = computed<Video[]>(() => {
  const sending = new Set(uploads.value.filter((u) => u.phase === 'sending' || u.phase === 'storing').map((u) => u.file.name));
  return [...videos.value.values()]
    .filter((v) => v.state !== 'deleting' && !(v.state === 'receiving' && sending.has(v.title)))
    .sort((a, b) => (a.id < b.id ? 1 : -1));
});

function merge(list: Video[]): void {
  const merged = new Map(videos.value);
  for (const v of list) {
    const known = merged.get(v.id);
    if (known && known.revision > v.revision) continue;
    if (known && known.state !== v.state) announce(v);
    if (v.state === 'deleting') merged.delete(v.id);
    else merged.set(v.id, v);
  }
  videos.value = merged;
}

function announce(v: Video): void {
  if (v.state === 'ready') announcement.value = `${v.title} is ready to play.`;
  if (v.state === 'failed') announcement.value = `${v.title} failed: ${v.error?.detail ?? ''}`;
}

export function onSnapshot(page: Page): void {
  // What the snapshot would contain but does not has been deleted while we were away. Older pages stay as they are.
  const oldest = page.next === null ? '' : (page.videos.at(-1)?.id ?? '');
  const present = new Set(page.videos.map((v) => v.id));
  videos.value = new Map([...videos.value].filter(([id]) => present.has(id) || id < oldest));
  merge(page.videos);
  if (!loaded.value || page.next === null) next.value = page.next;
  loaded.value = true;
}

export const onVideo = (v: Video): void => merge([v]);

export async function loadMore(): Promise<void> {
  if (next.value === null) return;
  const page = await api.list(next.value);
  merge(page.videos);
  next.value = page.next;
}

// ---- Uploads: two at a time, in the order they were chosen -----------------------------------------------------------

const parallel = 2;
let keys = 0;

function change(key: number, fields: Partial<Upload>): void {
  uploads.value = uploads.value.map((u) => (u.key === key ? { ...u, ...fields } : u));
}

export function dismiss(key: number): void {
  uploads.value = uploads.value.filter((u) => u.key !== key);
}

export function add(files: Iterable<File>, options: api.UploadOptions): void {
  const fresh: Upload[] = [...files].map((file) => ({
    key: ++keys,
    file,
    options,
    phase: file.size === 0 ? 'failed' : 'waiting',
    sent: 0,
    total: file.size,
    startedMs: 0,
    error: file.size === 0 ? 'The file is empty.' : '',
    cancel: () => undefined,
  }));
  uploads.value = [...fresh, ...uploads.value];
  startSome();
}

export function again(key: number): void {
  change(key, { phase: 'waiting', error: '', sent: 0 });
  startSome();
}

function startSome(): void {
  const running = uploads.value.filter((u) => u.phase === 'sending' || u.phase === 'storing').length;
  const waiting = uploads.value.filter((u) => u.phase === 'waiting').reverse();
  for (const u of waiting.slice(0, Math.max(0, parallel - running))) void run(u);
}

async function run(u: Upload): Promise<void> {
  const running = api.upload(u.file, u.options, (sent, total) =>
    change(u.key, { sent, total, phase: sent >= total ? 'storing' : 'sending' }),
  );
  change(u.key, { phase: 'sending', startedMs: Date.now(), cancel: running.cancel });
  try {
    const video = await running.result;
    merge([video]);
    dismiss(u.key);
    announcement.value = `${video.title} was uploaded.`;
  } catch (e) {
    const problem = e as api.Problem;
    if (problem.status === 499) dismiss(u.key);
    else change(u.key, { phase: 'failed', error: problem.message });
  }
  startSome();
}

// Everything that goes over the network, with one way to fail: `Problem`, whose text can be shown as it is.
//
// Events come over fetch rather than EventSource, because that cannot carry the API token; the format is the same.
import { signal } from '@preact/signals';
import type { Page, Video } from './model';

export class Problem extends Error {
  constructor(
    readonly status: number,
    detail: string,
    readonly retryAfterS = 0,
  ) {
    super(detail);
  }
}

const offline = 'The server cannot be reached. Check the connection and try again.';

/// The API token, for servers that want one; kept for this tab only.
export const token = signal(sessionStorage.getItem('latham-token') ?? '');
/// True while the server has said that it wants (another) token.
export const tokenWanted = signal(false);

export function useToken(value: string): void {
  token.value = value;
  sessionStorage.setItem('latham-token', value);
  tokenWanted.value = false;
}

const authorization = (): Record<string, string> => (token.value ? { Authorization: `Bearer ${token.value}` } : {});

function problemOf(status: number, body: string, retryAfter: string | null): Problem {
  if (status === 401) tokenWanted.value = true;
  let detail = `The server answered with status ${status}.`;
  try {
    const parsed = JSON.parse(body) as { detail?: string; title?: string };
    detail = parsed.detail || parsed.title || detail;
  } catch {
    // Not from our server: a proxy's page, of no use to anybody here.
  }
  return new Problem(status, detail, Number(retryAfter) || 0);
}

async function call(method: string, path: string): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { method, headers: authorization() });
  } catch {
    throw new Problem(0, offline);
  }
  if (!response.ok) throw problemOf(response.status, await response.text(), response.headers.get('Retry-After'));
  return response;
}

export const list = async (cursor: string): Promise<Page> =>
  (await call('GET', `/api/v1/videos?limit=50&cursor=${encodeURIComponent(cursor)}`)).json() as Promise<Page>;
export const remove = async (id: string): Promise<void> => void (await call('DELETE', `/api/v1/videos/${id}`));
export const retry = async (id: string): Promise<Video> =>
  (await call('POST', `/api/v1/videos/${id}/retry`)).json() as Promise<Video>;

export interface UploadOptions {
  ladder: string[];
  priority: string;
  start: string; // seconds into the file; empty: from its beginning
  end: string; // empty: to its end
}

export interface RunningUpload {
  result: Promise<Video>;
  cancel: () => void;
}

/// XMLHttpRequest, because fetch does not tell how much of a body has been sent.
export function upload(file: File, options: UploadOptions, onProgress: (sent: number, total: number) => void): RunningUpload {
  const request = new XMLHttpRequest();
  const result = new Promise<Video>((resolve, reject) => {
    const form = new FormData();
    form.append('title', file.name);
    if (options.ladder.length > 0) form.append('ladder', options.ladder.join(' '));
    if (options.priority !== 'normal') form.append('priority', options.priority);
    if (options.start !== '') form.append('start', options.start);
    if (options.end !== '') form.append('end', options.end);
    form.append('file', file);
    request.open('POST', '/api/v1/videos');
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.onprogress = (e) => onProgress(e.loaded, e.lengthComputable ? e.total : file.size);
    request.onload = () => {
      if (request.status === 201) resolve(JSON.parse(request.responseText) as Video);
      else reject(problemOf(request.status, request.responseText, request.getResponseHeader('Retry-After')));
    };
    request.onerror = () => reject(new Problem(0, 'The upload was interrupted. Check the connection and try again.'));
    request.onabort = () => reject(new Problem(499, 'Cancelled.'));
    request.send(form);
  });
  return { result, cancel: () => request.abort() };
}

export type Link = 'connecting' | 'live' | 'lost';
export const link = signal<Link>('connecting');

interface Handlers {
  onSnapshot: (page: Page) => void;
  onVideo: (video: Video) => void;
}

/// Follows the event stream for ever, coming back after every interruption with what it saw last.
export async function follow(handlers: Handlers): Promise<void> {
  let lastId = '';
  let failures = 0;
  for (;;) {
    try {
      const response = await fetch('/api/v1/events', {
        headers: { ...authorization(), ...(lastId ? { 'Last-Event-ID': lastId } : {}) },
        cache: 'no-store',
      });
      if (!response.ok || !response.body) {
        const problem = problemOf(response.status, await response.text(), response.headers.get('Retry-After'));
        if (problem.status === 401) {
          link.value = 'lost';
          await untilTokenGiven();
          continue;
        }
        throw problem;
      }
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      for (;;) {
        // The server says something at least every 15 seconds; silence means that the path between us is dead.
        const { value, done } = await withDeadline(reader.read(), 40_000);
        if (done) break;
        if (failures > 0 || link.value !== 'live') {
          failures = 0;
          link.value = 'live';
        }
        text += value;
        for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
          const id = dispatch(text.slice(0, end), handlers);
          if (id) lastId = id;
          text = text.slice(end + 2);
        }
      }
    } catch {
      // Said by `link`; the loop is the remedy.
    }
    failures += 1;
    link.value = failures > 1 ? 'lost' : 'connecting';
    await pause(Math.min(15_000, 500 * 2 ** Math.min(failures, 5)) * (0.5 + Math.random() / 2));
  }
}

function dispatch(block: string, handlers: Handlers): string {
  let id = '';
  let event = 'message';
  let data = '';
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (name === 'id') id = value;
    else if (name === 'event') event = value;
    else if (name === 'data') data += value;
  }
  if (event === 'snapshot') handlers.onSnapshot(JSON.parse(data) as Page);
  else if (event === 'video') handlers.onVideo(JSON.parse(data) as Video);
  return id;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function withDeadline<T>(work: Promise<T>, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('silence')), ms);
    work.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (reason: unknown) => {
        clearTimeout(timer);
        reject(reason instanceof Error ? reason : new Error('read failed'));
      },
    );
  });
}

function untilTokenGiven(): Promise<void> {
  return new Promise((resolve) => {
    const stop = tokenWanted.subscribe((wanted) => {
      if (wanted) return;
      resolve();
      queueMicrotask(() => stop());
    });
  });
}

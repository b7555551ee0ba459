import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import * as api from './api';
import { Bar } from './bar';
import * as format from './format';
import { Again, Play, Trash } from './icons';
import type { Video } from './model';
import { playing } from './player';
import * as store from './store';

const busy = new Set(['receiving', 'queued', 'planning', 'encoding', 'finishing']);

function facts(v: Video): string {
  const size = v.bytes_total ?? v.bytes;
  return [
    v.plan ? format.clock(v.plan.duration_s) : '',
    v.plan ? (v.plan.width > 0 ? `${v.plan.width} × ${v.plan.height}` : 'sound only') : '',
    v.plan && v.plan.fps > 0 ? format.fps(v.plan.fps) : '',
    size > 0 ? format.bytes(size) : '',
    format.moment(v.created),
  ]
    .filter(Boolean)
    .join(' · ');
}

function progressWords(v: Video): string {
  switch (v.state) {
    case 'receiving':
      return v.bytes_total ? `${format.bytes(v.bytes)} of ${format.bytes(v.bytes_total)} received` : `${format.bytes(v.bytes)} received`;
    case 'queued':
      return 'Waiting for a free worker';
    case 'planning':
      return 'Looking at the file';
    case 'encoding':
      return v.eta_s === null ? 'Encoding' : format.left(v.eta_s);
    case 'finishing':
      return 'Checking the result';
    default:
      return '';
  }
}

export function VideoCard({ video: v }: { video: Video }) {
  const error = useSignal('');
  const working = useSignal(false);
  const asking = useSignal(false);

  // The question goes away by itself, so that a stray Enter minutes later deletes nothing.
  useEffect(() => {
    if (!asking.value) return undefined;
    const timer = setTimeout(() => (asking.value = false), 5000);
    return () => clearTimeout(timer);
  }, [asking.value]);

  const run = async (work: () => Promise<unknown>) => {
    working.value = true;
    error.value = '';
    try {
      await work();
    } catch (e) {
      error.value = (e as Error).message;
    }
    working.value = false;
  };

  const isBusy = busy.has(v.state);
  const isPlayable = v.links.hls !== null || v.links.dash !== null;
  const fraction = v.state === 'receiving' && v.bytes_total ? v.bytes / v.bytes_total : v.progress;
  return (
    <li class={`card state-${v.state}`}>
      <div class="row">
        {v.links.poster && (
          <img class="poster" src={v.links.poster} alt="" loading="lazy" onClick={() => (playing.value = v.id)} onError={(e) => (e.currentTarget.hidden = true)} />
        )}
        <div class="grow">
          <h3 title={v.title}>{v.title}</h3>
          <p class="muted small">
            <span class={`badge ${v.state}`}>{v.state}</span> {facts(v)}
          </p>
        </div>
        <div class="actions">
          {isPlayable && (
            <button type="button" class={v.state === 'ready' ? 'primary' : ''} onClick={() => (playing.value = v.id)} aria-label={`Play ${v.title}`}>
              <Play /> {v.state === 'ready' ? 'Play' : 'Preview'}
            </button>
          )}
          {v.state === 'failed' && (
            <button type="button" disabled={working.value} onClick={() => void run(async () => store.onVideo(await api.retry(v.id)))} aria-label={`Try ${v.title} again`}>
              <Again /> Retry
            </button>
          )}
          {asking.value ? (
            <button type="button" class="danger" disabled={working.value} onClick={() => void run(() => api.remove(v.id))} aria-label={`Really delete ${v.title}`}>
              Really delete
            </button>
          ) : (
            <button type="button" class="quiet" disabled={working.value} onClick={() => (asking.value = true)} aria-label={`Delete ${v.title}`} title="Delete">
              <Trash />
            </button>
          )}
        </div>
      </div>
      {isBusy && (
        <>
          <Bar value={fraction} label={`Progress of ${v.title}`} unknown={v.state === 'queued' || v.state === 'planning'} />
          <p class="muted small split">
            <span>{progressWords(v)}</span>
            {v.state !== 'queued' && v.state !== 'planning' && <span class="figure">{format.percent(fraction)}</span>}
          </p>
        </>
      )}
      {v.error && (
        <p class="error" role="alert">
          {v.error.detail}
        </p>
      )}
      {error.value && (
        <p class="error" role="alert">
          {error.value}
        </p>
      )}
      {(v.rungs.length > 0 || v.notes.length > 0 || v.plan !== null) && (
        <details class="detail">
          <summary>
            {v.rungs.length > 0 ? `${v.rungs.length} ${v.rungs.length === 1 ? 'size' : 'sizes'}` : 'Details'}
            {v.plan && v.plan.chunks > 0 ? <span class="muted"> · {v.plan.chunks_done} of {v.plan.chunks} chunks</span> : null}
          </summary>
          <ul class="rungs">
            {v.rungs.map((r) => (
              <li key={r.name}>
                <span title={r.name.replace('x', ' × ')}>{Math.min(r.width, r.height)}p</span>
                <Bar value={r.progress} label={`${r.name} of ${v.title}`} tone={r.progress >= 1 ? 'done' : ''} />
                <span class="figure">{format.percent(r.progress)}</span>
              </li>
            ))}
          </ul>
          {v.plan && v.plan.format && <p class="muted small">Source: {v.plan.format}</p>}
          {v.notes.map((n) => (
            <p class="muted small" key={n}>
              {n}
            </p>
          ))}
        </details>
      )}
    </li>
  );
}

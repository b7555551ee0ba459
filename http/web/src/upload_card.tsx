import { Bar } from './bar';
import * as format from './format';
import { Again, Close } from './icons';
import * as store from './store';

export function UploadCard({ upload: u }: { upload: store.Upload }) {
  const seconds = (Date.now() - u.startedMs) / 1000;
  const rate = u.startedMs > 0 && seconds > 1 ? u.sent / seconds : 0;
  const words = {
    waiting: 'Waiting for the other uploads',
    sending: [
      `${format.bytes(u.sent)} of ${format.bytes(u.total)}`,
      rate > 0 ? `${format.bytes(rate)}/s` : '',
      rate > 0 ? format.left((u.total - u.sent) / rate) : '',
    ]
      .filter(Boolean)
      .join(' · '),
    storing: 'Sent. Waiting until it is stored safely',
    failed: '',
  }[u.phase];
  return (
    <li class="card">
      <div class="row">
        <div class="grow">
          <h3 title={u.file.name}>{u.file.name}</h3>
          {words && <p class="muted small">{words}</p>}
        </div>
        {(u.phase === 'sending' || u.phase === 'storing') && <span class="figure">{format.percent(u.sent / Math.max(1, u.total))}</span>}
        <div class="actions">
          {u.phase === 'failed' && u.file.size > 0 && (
            <button type="button" onClick={() => store.again(u.key)}>
              <Again /> Try again
            </button>
          )}
          <button
            type="button"
            class="quiet"
            aria-label={u.phase === 'sending' || u.phase === 'storing' ? `Cancel the upload of ${u.file.name}` : `Dismiss ${u.file.name}`}
            onClick={() => (u.phase === 'sending' || u.phase === 'storing' ? u.cancel() : store.dismiss(u.key))}
          >
            <Close />
          </button>
        </div>
      </div>
      {u.phase !== 'failed' && (
        <Bar value={u.sent / Math.max(1, u.total)} label={`Upload of ${u.file.name}`} unknown={u.phase === 'storing'} />
      )}
      {u.error && (
        <p class="error" role="alert">
          {u.error}
        </p>
      )}
    </li>
  );
}

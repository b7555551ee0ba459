import { useSignal } from '@preact/signals';
import * as api from './api';
import { Drop } from './drop';
import { Mark } from './icons';
import { Player, playing } from './player';
import * as store from './store';
import { TokenDialog } from './token';
import { UploadCard } from './upload_card';
import { VideoCard } from './video_card';

const links: Record<api.Link, string> = { connecting: 'Connecting', live: 'Live', lost: 'Connection lost, trying again' };

export function App() {
  const shown = store.shown.value;
  const uploads = store.uploads.value;
  return (
    <>
      <header class="top">
        <h1>
          <Mark /> Latham
        </h1>
        <span class={`link ${api.link.value}`} role="status">
          <i aria-hidden="true" /> {links[api.link.value]}
        </span>
      </header>
      <main>
        <Drop />
        {uploads.length > 0 && (
          <section aria-label="Uploads">
            <h2>Uploading</h2>
            <ul class="cards">
              {uploads.map((u) => (
                <UploadCard key={u.key} upload={u} />
              ))}
            </ul>
          </section>
        )}
        <section aria-label="Videos">
          <h2>
            Videos {shown.length > 0 && <span class="count">{shown.length}{store.next.value !== null ? '+' : ''}</span>}
          </h2>
          {shown.length > 0 ? (
            <ul class="cards">
              {shown.map((v) => (
                <VideoCard key={v.id} video={v} />
              ))}
            </ul>
          ) : (
            <p class="empty">{store.loaded.value ? 'Nothing here yet. The first video that you drop above will appear in this list.' : 'Loading…'}</p>
          )}
          {store.next.value !== null && <More />}
        </section>
      </main>
      <footer>
        <a href="/openapi.yaml">API description</a>
      </footer>
      {playing.value !== null && <Player key={playing.value} id={playing.value} />}
      {api.tokenWanted.value && <TokenDialog />}
      <p class="for-screen-readers" aria-live="polite">
        {store.announcement.value}
      </p>
    </>
  );
}

function More() {
  const busy = useSignal(false);
  const error = useSignal('');
  const load = async () => {
    busy.value = true;
    error.value = '';
    try {
      await store.loadMore();
    } catch (e) {
      error.value = (e as Error).message;
    }
    busy.value = false;
  };
  return (
    <div class="more">
      <button type="button" onClick={() => void load()} disabled={busy.value}>
        {busy.value ? 'Loading…' : 'Show older videos'}
      </button>
      {error.value && <p class="error" role="alert">{error.value}</p>}
    </div>
  );
}

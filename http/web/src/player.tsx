// The player, in a dialog. shaka-player is a quarter of a megabyte, so it is fetched when the first video is played.
import { signal, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import * as format from './format';
import { Close, Copy } from './icons';
import { videos } from './store';
import { Storyboard } from './storyboard';

/// The id of the video that is being played.
export const playing = signal<string | null>(null);

type Kind = 'hls' | 'dash';

/// The little of shaka-player that is used here.
interface Track {
  id: number;
  active: boolean;
  width: number | null;
  height: number | null;
  bandwidth: number;
}
interface Caption {
  id: number;
  active: boolean;
  language: string;
  label: string | null;
}
interface ShakaPlayer {
  attach(video: HTMLVideoElement): Promise<void>;
  load(uri: string, startTime?: number): Promise<void>;
  destroy(): Promise<void>;
  configure(config: object): void;
  getVariantTracks(): Track[];
  getTextTracks(): Caption[];
  selectTextTrack(track: Caption): void;
  setTextTrackVisibility(visible: boolean): void;
  selectVariantTrack(track: Track, clearBuffer: boolean): void;
  addEventListener(type: string, listener: (event: Event & { detail?: { severity: number; code: number } }) => void): void;
}
interface Shaka {
  Player: { new (): ShakaPlayer; isBrowserSupported(): boolean };
  polyfill: { installAll(): void };
}

async function fetchShaka(): Promise<Shaka> {
  const module = (await import('shaka-player/dist/shaka-player.compiled.js')) as unknown as { default: Shaka };
  module.default.polyfill.installAll();
  return module.default;
}

/// What distinguishes a track in the list of qualities: its short side, or, of sound alone, its rate in kbit/s.
const rank = (t: Track) => shortSide(t) || Math.round(t.bandwidth / 1000);
const nameOf = (t: Caption) => t.label || t.language;
const shortSide = (t: Track) => Math.min(t.width ?? 0, t.height ?? 0);

export function Player({ id }: { id: string }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const element = useRef<HTMLVideoElement>(null);
  const player = useRef<ShakaPlayer | null>(null);
  const video = videos.value.get(id);
  const kind = useSignal<Kind>(video?.links.hls ? 'hls' : 'dash');
  const tracks = useSignal<Track[]>([]);
  const captions = useSignal<Caption[]>([]);
  const caption = useSignal(-1); // which of them is shown; -1: none
  const wanted = useSignal(0); // a track's rank; 0: automatic
  const error = useSignal('');
  const loading = useSignal(true);
  const copied = useSignal('');

  const place = useRef<{ time: number; paused: boolean; caption: string } | null>(null); // kept over a new load

  const uri = kind.value === 'hls' ? video?.links.hls : video?.links.dash;
  // A video that was opened while it was being encoded is loaded anew once it is ready: only then do its manifests name its
  // captions, and its length is known to every player.
  const ready = video?.state === 'ready';

  useEffect(() => {
    const d = dialog.current;
    d?.showModal();
    return () => d?.close();
  }, []);

  useEffect(() => {
    if (!uri || !element.current) return undefined;
    let gone = false;
    const from = place.current;
    loading.value = true;
    error.value = '';
    tracks.value = [];
    captions.value = [];
    caption.value = -1;
    void (async () => {
      try {
        const shaka = await fetchShaka();
        if (gone || !element.current) return;
        if (!shaka.Player.isBrowserSupported()) throw new Error('This browser cannot play adaptive streams.');
        const made = new shaka.Player();
        player.current = made;
        const refresh = () => {
          tracks.value = made.getVariantTracks();
          captions.value = made.getTextTracks();
        };
        for (const type of ['trackschanged', 'textchanged', 'adaptation', 'variantchanged', 'manifestupdated']) made.addEventListener(type, refresh);
        made.addEventListener('error', (e) => {
          // Less than critical: the player goes on by itself.
          if ((e.detail?.severity ?? 2) === 2) error.value = `Playback stopped (code ${e.detail?.code ?? 'unknown'}). Close and play it again.`;
        });
        await made.attach(element.current);
        // Segments of a video that is still being encoded come late at times: ask again rather than give up.
        made.configure({ streaming: { retryParameters: { maxAttempts: 6, baseDelay: 500 } }, abr: { enabled: wanted.value === 0 } });
        await made.load(uri, from?.time);
        if (gone) return;
        refresh();
        if (wanted.value !== 0) choose(wanted.value);
        if (from?.caption) showCaption(captions.value.findIndex((t) => nameOf(t) === from.caption));
        loading.value = false;
        // Browsers may refuse to start with sound; the controls are there.
        if (!from?.paused) await element.current?.play().catch(() => undefined);
      } catch (e) {
        if (gone) return;
        loading.value = false;
        const code = (e as { code?: number }).code;
        error.value = code === undefined ? (e as Error).message : `The stream could not be loaded (code ${code}). It may not be ready yet; try again in a moment.`;
      }
    })();
    return () => {
      gone = true;
      const shown = captions.value[caption.value];
      const at = element.current;
      // A load that had not come so far leaves what it was to go on from.
      if (at && at.readyState > 0) place.current = { time: at.currentTime, paused: at.paused && !at.ended, caption: shown ? nameOf(shown) : '' };
      void player.current?.destroy();
      player.current = null;
    };
  }, [uri, ready]);

  const choose = (quality: number) => {
    wanted.value = quality;
    const p = player.current;
    if (!p) return;
    p.configure({ abr: { enabled: quality === 0 } });
    const best = tracks.value.filter((t) => rank(t) === quality).sort((a, b) => b.bandwidth - a.bandwidth)[0];
    if (best) p.selectVariantTrack(best, true);
  };

  const showCaption = (index: number) => {
    caption.value = index;
    const p = player.current;
    const track = captions.value[index];
    if (p && track) p.selectTextTrack(track);
    p?.setTextTrackVisibility(track !== undefined);
  };

  const copy = async (text: string) => {
    try {
      await navigator.clipboard.writeText(new URL(text, location.href).href);
      copied.value = 'Link copied.';
    } catch {
      copied.value = 'The browser does not allow copying here.';
    }
  };

  const qualities = [...new Set(tracks.value.map(rank))].filter((q) => q > 0).sort((a, b) => b - a);
  const unit = tracks.value.some((t) => shortSide(t) > 0) ? 'p' : ' kbit/s';
  const active = tracks.value.find((t) => t.active);
  if (!video) return null;
  return (
    <dialog
      ref={dialog}
      class="player"
      aria-label={`Player: ${video.title}`}
      onClose={() => {
        if (playing.value === id) playing.value = null;
      }}
      onClick={(e) => {
        if (e.target === dialog.current) dialog.current?.close();
      }}
    >
      <div class="player-box">
        <div class="row">
          <h2 class="grow" title={video.title}>
            {video.title}
          </h2>
          <button type="button" class="quiet" aria-label="Close the player" onClick={() => dialog.current?.close()}>
            <Close />
          </button>
        </div>
        <div class={video.plan && video.plan.width === 0 ? 'screen sound' : 'screen'}>
          <video ref={element} controls playsInline poster={video.links.poster ?? undefined} />
          {loading.value && <p class="veil">Loading…</p>}
        </div>
        {video.links.storyboard && video.plan && <Storyboard uri={video.links.storyboard} duration={video.plan.duration_s} video={() => element.current} />}
        {error.value && (
          <p class="error" role="alert">
            {error.value}
          </p>
        )}
        <div class="player-tools">
          <label>
            Quality
            <select value={String(wanted.value)} onChange={(e) => choose(Number(e.currentTarget.value))}>
              <option value="0">{`Auto${wanted.value === 0 && active ? ` (${rank(active)}${unit})` : ''}`}</option>
              {qualities.map((q) => (
                <option key={q} value={String(q)}>
                  {q}
                  {unit}
                </option>
              ))}
            </select>
          </label>
          {captions.value.length > 0 && (
            <label>
              Captions
              <select value={String(caption.value)} onChange={(e) => showCaption(Number(e.currentTarget.value))}>
                <option value="-1">Off</option>
                {captions.value.map((t, i) => (
                  <option key={t.id} value={String(i)}>
                    {nameOf(t)}
                  </option>
                ))}
              </select>
            </label>
          )}
          <label>
            Stream
            <select value={kind.value} onChange={(e) => (kind.value = e.currentTarget.value as Kind)}>
              <option value="hls" disabled={!video.links.hls}>
                HLS
              </option>
              <option value="dash" disabled={!video.links.dash}>
                DASH
              </option>
            </select>
          </label>
          {uri && (
            <button type="button" onClick={() => void copy(uri)}>
              <Copy /> Copy link
            </button>
          )}
          <span class="muted small" role="status">
            {copied.value || (video.state !== 'ready' ? `Still being encoded: ${format.percent(video.progress)}` : '')}
          </span>
        </div>
      </div>
    </dialog>
  );
}

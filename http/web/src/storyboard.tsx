// The strip below the player: hovering, or moving along it by arrow keys, shows the picture of that moment; a click or Enter
// goes there. Tiles come from the video's storyboard (WebVTT with #xywh fragments), fetched when first needed.
import { signal, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import * as format from './format';

interface Tile {
  from: number; // seconds
  to: number;
  sheet: string;
  x: number;
  width: number;
  height: number;
}

const seconds = (text: string) => text.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);

export function parseStoryboard(text: string): Tile[] {
  const tiles: Tile[] = [];
  for (const cue of text.split(/\n\n+/)) {
    const found = /^(\S+) --> (\S+)\n(\S+)#xywh=(\d+),\d+,(\d+),(\d+)/.exec(cue.trim());
    if (!found) continue;
    const [, from, to, sheet, x, width, height] = found as unknown as string[];
    tiles.push({ from: seconds(from!), to: seconds(to!), sheet: sheet!, x: Number(x), width: Number(width), height: Number(height) });
  }
  return tiles;
}

export function Storyboard({ uri, duration, video }: { uri: string; duration: number; video: () => HTMLVideoElement | null }) {
  const strip = useRef<HTMLDivElement>(null);
  const tiles = useRef(signal<Tile[] | null>(null)).current;
  const loading = useRef(false);
  const at = useSignal<number | null>(null); // the moment that is looked at, in seconds
  const now = useSignal(0);

  useEffect(() => {
    const v = video();
    if (!v) return undefined;
    const tick = () => (now.value = v.currentTime);
    v.addEventListener('timeupdate', tick);
    v.addEventListener('seeked', tick);
    return () => {
      v.removeEventListener('timeupdate', tick);
      v.removeEventListener('seeked', tick);
    };
  }, []);

  const load = async () => {
    if (tiles.value !== null || loading.current) return;
    loading.current = true;
    try {
      const answer = await fetch(uri);
      if (answer.ok) tiles.value = parseStoryboard(await answer.text());
    } catch {
      // The next look asks again.
    }
    loading.current = false;
  };

  const look = (time: number) => {
    at.value = Math.max(0, Math.min(duration, time));
    void load();
  };
  const timeUnder = (e: MouseEvent) => {
    const box = strip.current!.getBoundingClientRect();
    return ((e.clientX - box.left) / box.width) * duration;
  };
  const go = (time: number) => {
    const v = video();
    if (v) v.currentTime = Math.max(0, Math.min(duration, time));
  };
  const onKey = (e: KeyboardEvent) => {
    const from = at.value ?? now.value;
    const step = Math.max(2, duration / 50);
    const moves: Record<string, number> = {
      ArrowLeft: from - step,
      ArrowDown: from - step,
      ArrowRight: from + step,
      ArrowUp: from + step,
      PageDown: from - 5 * step,
      PageUp: from + 5 * step,
      Home: 0,
      End: duration,
    };
    if (e.key in moves) {
      e.preventDefault();
      look(moves[e.key]!);
    } else if (e.key === 'Enter' || e.key === ' ') {
      e.preventDefault();
      go(from);
    }
  };

  const moment = at.value;
  const tile = moment === null ? undefined : (tiles.value ?? []).find((t) => moment >= t.from && moment < t.to) ?? tiles.value?.at(-1);
  const share = (time: number) => `${duration > 0 ? (100 * Math.min(time, duration)) / duration : 0}%`;
  return (
    <div
      ref={strip}
      class="storyboard"
      role="slider"
      tabIndex={0}
      aria-label="Time line"
      title="Arrow keys look along the video, Enter or a click goes there"
      aria-valuemin={0}
      aria-valuemax={Math.round(duration)}
      aria-valuenow={Math.round(moment ?? now.value)}
      aria-valuetext={format.clock(moment ?? now.value)}
      onMouseMove={(e) => look(timeUnder(e))}
      onMouseLeave={() => (at.value = null)}
      onBlur={() => (at.value = null)}
      onClick={(e) => go(timeUnder(e))}
      onKeyDown={onKey}
    >
      <div class="storyboard-line">
        <div class="storyboard-done" style={{ width: share(now.value) }} />
      </div>
      {moment !== null && (
        <div class="storyboard-look" style={{ left: `clamp(5rem, ${share(moment)}, calc(100% - 5rem))` }}>
          {tile && (
            <div
              class="storyboard-tile"
              style={{ width: `${tile.width}px`, height: `${tile.height}px`, backgroundImage: `url("${tile.sheet}")`, backgroundPosition: `-${tile.x}px 0` }}
            />
          )}
          <span class="figure">{format.clock(moment)}</span>
        </div>
      )}
    </div>
  );
}

// Where files come in: dropped anywhere on the page, or chosen. The sizes and the priority are for those who ask for them.
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { Up } from './icons';
import * as store from './store';

const sizes = ['256x144', '426x240', '640x360', '854x480', '1280x720', '1920x1080', '2560x1440', '3840x2160'];
const heightOf = (size: string) => `${size.split('x')[1]}p`;

export function Drop() {
  const input = useRef<HTMLInputElement>(null);
  const over = useSignal(false);
  const chosen = useSignal<readonly string[]>([]);
  const priority = useSignal('normal');
  const start = useSignal('');
  const end = useSignal('');

  const take = (files: FileList | null | undefined) => {
    if (!files || files.length === 0) return;
    store.add(files, {
      ladder: sizes.filter((s) => chosen.value.includes(s)),
      priority: priority.value,
      start: start.value,
      end: end.value,
    });
    // A part belongs to the file that it was chosen for.
    start.value = end.value = '';
  };

  // The whole window is the target: a file that misses the box would otherwise replace the page.
  useEffect(() => {
    let depth = 0;
    const isFiles = (e: DragEvent) => e.dataTransfer?.types.includes('Files') ?? false;
    const enter = (e: DragEvent) => {
      if (!isFiles(e)) return;
      e.preventDefault();
      depth += 1;
      over.value = true;
    };
    const leave = () => {
      depth = Math.max(0, depth - 1);
      if (depth === 0) over.value = false;
    };
    const move = (e: DragEvent) => {
      if (isFiles(e)) e.preventDefault();
    };
    const drop = (e: DragEvent) => {
      if (!isFiles(e)) return;
      e.preventDefault();
      depth = 0;
      over.value = false;
      take(e.dataTransfer?.files);
    };
    addEventListener('dragenter', enter);
    addEventListener('dragleave', leave);
    addEventListener('dragover', move);
    addEventListener('drop', drop);
    return () => {
      removeEventListener('dragenter', enter);
      removeEventListener('dragleave', leave);
      removeEventListener('dragover', move);
      removeEventListener('drop', drop);
    };
  }, []);

  const toggle = (size: string) => {
    chosen.value = chosen.value.includes(size) ? chosen.value.filter((s) => s !== size) : [...chosen.value, size];
  };

  return (
    <section class={`drop ${over.value ? 'over' : ''}`} aria-label="Add videos">
      <input
        ref={input}
        id="files"
        class="for-screen-readers"
        type="file"
        accept="video/*,audio/*,.mkv,.mov,.mp4,.webm,.avi,.ts,.mpg,.m4v"
        multiple
        tabIndex={-1}
        aria-hidden="true"
        onChange={(e) => {
          take(e.currentTarget.files);
          e.currentTarget.value = '';
        }}
      />
      <div class="drop-art" aria-hidden="true">
        <Up />
      </div>
      <p class="drop-title">{over.value ? 'Let go to upload' : 'Drop videos here'}</p>
      <p class="muted">Each becomes an adaptive stream that plays smoothly in any browser.</p>
      <button type="button" class="primary" onClick={() => input.current?.click()}>
        Choose files
      </button>
      <details class="options">
        <summary>Options</summary>
        <fieldset>
          <legend>Sizes</legend>
          <div class="chips">
            {sizes.map((s) => (
              <label key={s} class="chip" title={s.replace('x', ' × ')}>
                <input type="checkbox" checked={chosen.value.includes(s)} onChange={() => toggle(s)} />
                <span>{heightOf(s)}</span>
              </label>
            ))}
          </div>
          <p class="muted small">None chosen: every size up to the source’s own.</p>
        </fieldset>
        <fieldset>
          <legend>Part</legend>
          <div class="chips">
            {[
              { name: 'from', value: start },
              { name: 'to', value: end },
            ].map((place) => (
              <label key={place.name} class="place">
                {place.name}
                <input
                  type="number"
                  min="0"
                  max="86400"
                  step="0.001"
                  inputMode="decimal"
                  placeholder={place.name === 'from' ? '0' : 'end'}
                  value={place.value.value}
                  onInput={(e) => (place.value.value = e.currentTarget.value)}
                />
                s
              </label>
            ))}
          </div>
          <p class="muted small">Of the next file, in seconds; empty: all of it.</p>
        </fieldset>
        <fieldset>
          <legend>Priority</legend>
          <div class="chips">
            {['low', 'normal', 'high'].map((p) => (
              <label key={p} class="chip">
                <input type="radio" name="priority" checked={priority.value === p} onChange={() => (priority.value = p)} />
                <span>{p}</span>
              </label>
            ))}
          </div>
        </fieldset>
      </details>
    </section>
  );
}

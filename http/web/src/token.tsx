import { useEffect, useRef } from 'preact/hooks';
import * as api from './api';

export function TokenDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="ask" aria-labelledby="token-title" onCancel={(e) => e.preventDefault()}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          const value = input.current?.value.trim();
          if (value) api.useToken(value);
        }}
      >
        <h2 id="token-title">This server wants a token</h2>
        <p class="muted">Ask whoever runs it. It is kept in this tab only.</p>
        <label>
          API token
          <input ref={input} type="password" autocomplete="off" required />
        </label>
        <button type="submit" class="primary">
          Continue
        </button>
      </form>
    </dialog>
  );
}

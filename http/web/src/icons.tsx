// Drawn here: no icon font, no requests. All are decoration; the words beside them or aria-label say what they do.
import type { ComponentChildren } from 'preact';

const icon = (path: ComponentChildren) => (
  <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round">
    {path}
  </svg>
);

export const Play = () => icon(<path d="M8 5.5v13l10.5-6.5z" fill="currentColor" />);
export const Trash = () => icon(<path d="M4 7h16M10 11v6M14 11v6M6 7l1 12a1.5 1.5 0 0 0 1.5 1.4h7A1.5 1.5 0 0 0 17 19l1-12M9 7V5a1 1 0 0 1 1-1h4a1 1 0 0 1 1 1v2" />);
export const Again = () => icon(<path d="M20 11a8 8 0 1 0-.7 4.5M20 4.5V11h-6.5" />);
export const Close = () => icon(<path d="M6 6l12 12M18 6L6 18" />);
export const Up = () => icon(<path d="M12 16V4.5M7 9l5-5 5 5M4.5 15v3.5A1.5 1.5 0 0 0 6 20h12a1.5 1.5 0 0 0 1.5-1.5V15" />);
export const Copy = () => icon(<path d="M9 9h10.5v10.5H9zM5.5 15H4.5V4.5H15v1" />);
export const Chevron = () => icon(<path d="M6 9.5l6 6 6-6" />);

export const Mark = () => (
  <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="8" fill="var(--accent-solid)" />
    <path d="M5 22h6c3 0 4-2 4-5v-2a4.5 4.5 0 1 1 9 0v2c0 3 1 5 3 5" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" />
  </svg>
);

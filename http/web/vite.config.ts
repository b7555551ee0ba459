// The bundle is embedded in the server: hashed names below /assets/, nothing from elsewhere, the player in a file of its own
// that is loaded when somebody presses play.
import { defineConfig } from 'vite';

export default defineConfig({
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact' },
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1200,
  },
  server: { proxy: { '/api': 'http://localhost:8000', '/media': 'http://localhost:8000' } },
});

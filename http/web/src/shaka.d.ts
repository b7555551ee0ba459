declare module 'shaka-player/dist/shaka-player.compiled.js';

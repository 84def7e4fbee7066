import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

import { developmentSession } from './development.ts';

/** API that `npm run dev` talks to; its token comes from GRAYWAVE_TOKEN. */
const server = process.env['GRAYWAVE_URL'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  // Relative addresses: the console works below any path.
  base: './',
  plugins: [svelte(), developmentSession(server)],
  build: {
    target: ['chrome125', 'firefox128', 'safari18'],
    outDir: process.env['GRAYWAVE_CONSOLE_OUT'] ?? '../dist',
    emptyOutDir: true,
    // A data: address would need its own place in the content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
  },
  server: { port: 5199, strictPort: false },
  // Svelte's browser build: tests of runes run without a server's rendering.
  resolve: process.env['VITEST'] ? { conditions: ['browser'] } : {},
  test: { include: ['tests/unit/**/*.test.ts'], environment: 'node' },
});

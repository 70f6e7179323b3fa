import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

// Where `npm run dev` forwards the API to: the mock server (`npm run mock`) or a real master.
const master = process.env.IRONMASTER_URL ?? 'http://127.0.0.1:8010'

export default defineConfig({
  // Relative asset addresses: the UI must work below any path prefix of a reverse proxy.
  base: './',
  plugins: [react()],
  build: {
    outDir: 'dist',
    manifest: true,
    // The browsers that have `Array.prototype.toSorted`, `light-dark()` and `<dialog>`.
    target: ['chrome123', 'firefox121', 'safari17.5'],
  },
  server: {
    // The name of the host stays as the browser says it: a master refuses calls from other sites' pages.
    proxy: Object.fromEntries(
      ['/api', '/auth', '/config', '/ws'].map((path) => [
        path,
        { target: master, changeOrigin: false, ws: path === '/ws' },
      ]),
    ),
  },
  test: {
    include: ['src/**/*.test.{ts,tsx}'],
    environment: 'node',
    restoreMocks: true,
    setupFiles: ['src/test/setup.ts'],
    // Only a test that hangs gets there, also on a slow machine that does something else as well.
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})

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
    proxy: {
      '/api': master,
      '/auth': master,
      '/config': master,
      '/ws': { target: master, ws: true },
    },
  },
  test: {
    include: ['src/**/*.test.{ts,tsx}'],
    environment: 'node',
    restoreMocks: true,
  },
})

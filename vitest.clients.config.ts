import { defineConfig } from "vitest/config";

// The official clients of the APIs against the built server (npm run test:clients).
export default defineConfig({
  test: {
    include: ["test/clients/**/*.client.test.ts"],
    testTimeout: 300_000,
    hookTimeout: 120_000,
    maxWorkers: 1,
  },
});

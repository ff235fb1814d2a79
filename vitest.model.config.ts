import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.model.test.ts", "test/**/*.model.test.ts"],
    testTimeout: 900_000,
    hookTimeout: 300_000,
    maxWorkers: 1,
  },
});

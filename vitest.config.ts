import { configDefaults, defineConfig } from "vitest/config";

// Tests with a real model, and those that take minutes, run with vitest.model.config.ts; clients of the server with
// vitest.clients.config.ts.
export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "web/**/*.test.ts"],
    exclude: [...configDefaults.exclude, "**/*.model.test.ts", "**/*.client.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
});

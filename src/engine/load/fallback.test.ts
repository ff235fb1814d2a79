import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { load } from "./load.ts";

// In its own file: the addon is loaded once per process.
it("falls back to the reference with a warning if the addon was not built", async () => {
  vi.stubEnv("IDLM_NATIVE_ADDON", join(import.meta.dirname, "no-such-addon.node"));
  const llama = join(import.meta.dirname, "../../../test/fixtures/models/llama-tiny");
  const warnings: string[] = [];
  const model = await load(llama, { onWarning: (message) => warnings.push(message) });
  expect(model.info.backend.name).toBe("reference");
  expect(warnings.join()).toMatch(
    /no-such-addon.node was not built.*reference backend is used, which is more than 20 times slower/,
  );
  await expect(load(llama, { backend: "native" })).rejects.toThrow(/was not built/);
  await model.dispose();
});

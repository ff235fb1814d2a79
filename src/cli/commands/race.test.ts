import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { collect } from "../terminal/collect-io.ts";

describe("idlm race without a model", () => {
  const before = { ...process.env };
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "idlm-race-"));
    // Neither pip nor a stored model.
    Object.assign(process.env, { IDLM_HOME: join(folder, "home"), PATH: folder });
  });
  afterEach(() => {
    process.env = { ...before };
    rmSync(folder, { recursive: true });
  });

  it("takes the included one where the default cannot be had, and says why", async () => {
    const { status, stdout, stderr } = await collect(["race", "--rounds", "1", "--max-tokens", "40", "--json"]);
    expect(stderr).toContain("no pip was found");
    expect(stderr).toContain("Model: the tiny one of this package, since smollm2-135m-instruct cannot be had.");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ model: "tiny", sameBytes: true });
  });

  it("does not replace a model that was named", async () => {
    const { status, stderr } = await collect(["race", "smollm2-135m-instruct", "--rounds", "1"]);
    expect(stderr).toContain("no pip was found");
    expect(status).toBe(6);
  });
});

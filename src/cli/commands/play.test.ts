import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { collect } from "../terminal/collect-io.ts";

const model = fileURLToPath(new URL("../../../test/fixtures/gguf/tiny64-F16.gguf", import.meta.url));

it("idlm play prints the address and opens it in the browser", async () => {
  const folder = mkdtempSync(join(tmpdir(), "idlm-play-"));
  const [browser, opened] = [join(folder, "browser"), join(folder, "opened")];
  writeFileSync(browser, `#!/bin/sh\necho "$1" > ${opened}.part\nmv ${opened}.part ${opened}\n`);
  chmodSync(browser, 0o755);
  let asked: Promise<void> | undefined;
  const ask = async (url: string, interrupt: () => void) => {
    const health = await fetch(`${url}health`);
    expect([200, 503]).toContain(health.status);
    while (!existsSync(opened)) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(readFileSync(opened, "utf8")).toBe(`${url}\n`);
    const [report, same] = await Promise.all([1, 2].map(() => fetch(`${url}doctor`, { method: "POST" })));
    expect(await report?.json()).toEqual({
      report: expect.stringMatching(/^CPU .*\n[\s\S]*tiny64-F16, [\d.]+ MB read/),
      figures: expect.objectContaining({ model: expect.objectContaining({ name: "tiny64-F16" }) }),
      disturbed: false,
    });
    expect(same?.status).toBe(200);
    interrupt();
  };
  const onStderr = (text: string, interrupt: () => void) => {
    const [, url] = /playground: (\S+) /.exec(text) ?? [];
    if (url !== undefined) asked ??= ask(url, interrupt);
  };
  const { status, stdout } = await collect(["play", model, "--port", "0"], { onStderr, env: { BROWSER: browser } });
  await asked;
  expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
  rmSync(folder, { recursive: true });
});

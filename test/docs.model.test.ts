import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { fencesOf, makeStandIns, matchesShown, parseExample, runShellExample } from "./support/doc-examples.ts";
import { realModelPath } from "./support/real-model.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-docs-model-"));
afterAll(() => rmSync(folder, { recursive: true }));
const standIns = new Map(makeStandIns(folder));
standIns.delete("smollm2-135m-instruct");

const fences = ["README.md", "docs/getting-started.md"].flatMap((page) =>
  fencesOf(page)
    .filter(({ info }) => info === "console model")
    .map(({ body }) => ({ page, body })),
);

describe.skipIf(realModelPath() === undefined)("documentation, with the real model", () => {
  it("has an example", () => expect(fences.length).toBeGreaterThan(0));

  it.each(fences)("$page prints what it shows: $body", async ({ body }) => {
    for (const part of body.split(/^\$ /m).slice(1)) {
      const [line = "", ...shown] = part.trimEnd().split("\n");
      const { status, stdout } = await runShellExample(parseExample(line, standIns));
      expect(status).toBe(0);
      expect(matchesShown(stdout, shown.join("\n")), `${line}\n${stdout}`).toBe(true);
    }
  });
});

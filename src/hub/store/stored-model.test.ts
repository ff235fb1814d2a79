import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { IdlmError } from "../../errors.ts";
import { isSafePath } from "./safe-path.ts";
import { manifestText, readManifest, type StoredModel } from "./stored-model.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-manifest-"));
const path = join(folder, "model.json");
afterAll(() => rmSync(folder, { recursive: true }));

const model: StoredModel = {
  name: "org/repo",
  kind: "huggingface",
  source: { kind: "hub", endpoint: "https://huggingface.co", repository: "org/repo", revision: "main", commit: "c" },
  entry: "0123456789abcdef",
  files: [
    { path: "0123456789abcdef/config.json", nBytes: 2, digest: { algorithm: "git-sha1", hex: "a".repeat(40) } },
    { path: "0123456789abcdef/model.safetensors", nBytes: 3, digest: { algorithm: "sha256", hex: "b".repeat(64) } },
  ],
};

describe("readManifest", () => {
  it("round-trips", () => {
    writeFileSync(path, manifestText(model));
    expect(readManifest(path)).toEqual(model);
  });

  it("gives a model inside its folder or an error of the catalogue, for any bytes", () => {
    const text = Buffer.from(manifestText(model));
    const change = fc.record({
      at: fc.nat({ max: text.length - 1 }),
      nRemoved: fc.nat({ max: 6 }),
      inserted: fc.constantFrom("", "..", "/", '"', "../", "\\", "-1", "1e99", "null", "{", "]", "\0", "0"),
    });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        let bytes = text;
        for (const { at, nRemoved, inserted } of changes)
          bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(inserted), bytes.subarray(at + nRemoved)]);
        writeFileSync(path, bytes);
        try {
          const read = readManifest(path);
          for (const file of read.files) {
            expect(isSafePath(file.path)).toBe(true);
            expect(relative(folder, join(folder, file.path))).not.toMatch(/^\.\.(?:[/\\]|$)/);
          }
          expect(read.files.some((file) => file.path.startsWith(read.entry))).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(IdlmError);
        }
      }),
      { numRuns: 1000, examples: [[[{ at: 281, nRemoved: 0, inserted: ".." }]]] },
    );
  });
});

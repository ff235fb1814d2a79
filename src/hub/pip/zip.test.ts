import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { makeZip } from "../../../test/support/make-zip.ts";
import { IdlmError } from "../../errors.ts";
import { extractMember } from "./zip.ts";

const folder = mkdtempSync(join(tmpdir(), "idlm-zip-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function extract(archive: Uint8Array, member: string): Promise<Buffer> {
  const path = join(folder, "archive.zip");
  const out = join(folder, "member");
  writeFileSync(path, archive);
  rmSync(out, { force: true });
  await extractMember(path, member, new PassThrough(), out);
  return readFileSync(out);
}

const a = Buffer.from("first ".repeat(100));
const b = Buffer.from("second");
const archive = makeZip(
  [
    { name: "x/a", content: a },
    { name: "x/b", content: b, method: 0 },
  ],
  "a comment",
);

describe("extractMember", () => {
  it("extracts one file, deflated or stored", async () => {
    expect((await extract(archive, "x/a")).equals(a)).toBe(true);
    expect((await extract(archive, "x/b")).equals(b)).toBe(true);
  });

  it("passes on errors of the output file unchanged", async () => {
    const path = join(folder, "archive.zip");
    writeFileSync(path, archive);
    const into = (to: string) => extractMember(path, "x/a", new PassThrough(), to);
    await expect(into(join(folder, "none", "member"))).rejects.toMatchObject({ code: "ENOENT", syscall: "open" });
    await expect(into(path)).rejects.toMatchObject({ code: "EEXIST" });
    rmSync(path);
    await expect(into(join(folder, "member"))).rejects.toMatchObject({ code: "file-missing" });
  });

  it.each([
    ["no archive", Buffer.from("nothing of the kind"), "x/a", /expected a zip archive/],
    ["an empty file", Buffer.alloc(0), "x/a", /expected a zip archive/],
    ["no such file in it", archive, "x/c", /"x\/c": expected a file of the archive/],
    ["a method of another kind", makeZip([{ name: "x/a", content: a, method: 12 }]), "x/a", /method 12/],
    [
      "data that are not deflated",
      Buffer.concat([archive.subarray(0, 33), Buffer.alloc(8, 0xff), archive.subarray(41)]),
      "x/a",
      /deflated data/,
    ],
  ])("explains the problem with %s", async (_, bytes, member, message) => {
    await expect(extract(bytes, member)).rejects.toThrow(message);
  });

  it("gives the file or an error of the catalogue, for any mutation", async () => {
    const change = fc.record({ at: fc.nat({ max: archive.length - 1 }), value: fc.nat({ max: 255 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const bytes = Buffer.from(archive);
        for (const { at, value } of changes) bytes[at] = value;
        try {
          expect((await extract(bytes, "x/a")).length).toBeLessThanOrEqual(1032 * bytes.length); // deflate's best ratio
        } catch (error) {
          expect(error).toBeInstanceOf(IdlmError);
        }
      }),
      { numRuns: 300 },
    );
  });
});

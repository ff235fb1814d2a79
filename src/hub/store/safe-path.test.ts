import { join, relative, sep } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isSafePath } from "./safe-path.ts";

describe("isSafePath", () => {
  it.each(["a", "model.gguf", "sub/model-00001-of-00002.gguf", ".gitattributes", "ä/ö.json"])("accepts %j", (path) => {
    expect(isSafePath(path)).toBe(true);
  });

  it.each([
    ...["", ".", "..", "../a", "a/..", "a/../b", "/a", "a//b", "a/", "a\\b", "C:a", "a:b", "a.", "a ", "a/b./c"],
    ...["a\0", "a\nb", "a\u202eb", "a\u2028", "con", "CON.txt", "x/nul", "com1.gguf", "a*", "a?", "<a>", "a|b", '"a"'],
    ...["a".repeat(256), "ä".repeat(128), `${"a/".repeat(400)}a`, "\ud800"],
  ])("rejects %j", (path) => {
    expect(isSafePath(path)).toBe(false);
  });

  it("never accepts a path outside of the folder, or the folder itself", () => {
    const piece = fc.constantFrom("a", "b.gguf", ".", "..", "", " ", "con", "\\", "C:", "…");
    const path = fc.oneof(
      fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join("/")),
      fc.string({ unit: "binary" }),
    );
    fc.assert(
      fc.property(path, (text) => {
        fc.pre(isSafePath(text));
        const root = join(sep, "root", "folder");
        expect(relative(root, join(root, text)).split(sep)).toEqual(text.split("/"));
      }),
      { numRuns: 2000 },
    );
  });
});

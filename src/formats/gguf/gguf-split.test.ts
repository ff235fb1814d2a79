import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, symlinkSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { type Part, splitGguf } from "../../../test/support/split-gguf.ts";
import { ByteFile } from "../files/map-file.ts";
import { openGguf } from "./gguf.ts";

const valid = join(import.meta.dirname, "../../../test/fixtures/hostile/gguf-valid.gguf");
const root = mkdtempSync(join(tmpdir(), "idlm-split-"));
const folder = join(root, "parts");
afterAll(() => rmSync(root, { recursive: true }));
beforeEach(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
});

const contentOf = (path: string) => {
  const file = openGguf(path);
  const metadata = [...file.metadata].filter(([key]) => !key.startsWith("split."));
  const tensors = [...file.tensors.values()].map(({ name, type, shape, bytes }) => ({ name, type, shape, bytes }));
  file.close();
  return { path: file.path, nFiles: file.files.length, metadata, tensors };
};

describe("openGguf of a split model", () => {
  it.each([1, 2, 3, 12])(
    "gives the content of the file before it was split into %i, whichever part is named",
    (nParts) => {
      const paths = splitGguf(valid, folder, nParts);
      const expected = { ...contentOf(valid), path: paths[0], nFiles: nParts };
      for (const path of paths) expect(contentOf(path)).toEqual(expected);
    },
  );

  it("reads a first part that holds only metadata", () => {
    const [first = ""] = splitGguf(valid, folder, 3, ([a, b]) => {
      b?.tensors.unshift(...(a?.tensors.splice(0) ?? []));
    });
    expect(contentOf(first).tensors.map(({ name }) => name)).toEqual(contentOf(valid).tensors.map(({ name }) => name));
  });

  it("closes all parts, also if one is rejected", () => {
    const closed: string[] = [];
    const close = ByteFile.prototype.close;
    ByteFile.prototype.close = function () {
      closed.push(this.path);
      close.call(this);
    };
    try {
      const paths = splitGguf(valid, folder, 3);
      closed.length = 0;
      openGguf(paths[1] ?? "").close();
      expect(closed.toSorted()).toEqual(paths);
      rmSync(paths[2] ?? "");
      closed.length = 0;
      expect(() => openGguf(paths[0] ?? "")).toThrow(
        /00003-of-00003\.gguf: no such file.*one of 3 parts; this is part 3/,
      );
      expect(closed.toSorted()).toEqual(paths.slice(0, 2));
    } finally {
      ByteFile.prototype.close = close;
    }
  });

  /** Sets a key of the part with this index. */
  const set = (part: number, key: string, value: Parameters<Part["metadata"]["set"]>[1]) => (parts: readonly Part[]) =>
    void parts[part]?.metadata.set(key, value);

  it.each<[string, (parts: readonly Part[]) => void, RegExp]>([
    [
      "a count of the wrong type",
      set(0, "split.count", "3"),
      /00001.*split\.count: expected a whole number.*found "3"/,
    ],
    ["a fractional count", set(0, "split.count", 2.5), /split\.count: expected a whole number.*found 2\.5/],
    ["a negative count", set(0, "split.count", -1), /split\.count: expected a whole number from 1 to 1000, found -1/],
    ["a count in the thousands", set(0, "split.count", 60_000), /split\.count: .*from 1 to 1000, found 60000/],
    ["a count beyond the safe integers", set(0, "split.count", 2n ** 63n), /split\.count: .*found 9223372036854775808/],
    ["an array for a count", set(0, "split.count", new Uint16Array(3)), /split\.count: .*found an array/],
    ["no count", (parts) => void parts[0]?.metadata.delete("split.count"), /split\.count: .*found nothing/],
    ["no number", (parts) => void parts[0]?.metadata.delete("split.no"), /split\.no: .*found nothing/],
    ["a number beyond the count", set(0, "split.no", 3), /split\.no: expected a whole number from 0 to 2, found 3/],
    ["a number that differs from its name's", set(0, "split.no", 1), /name of the file: expected …-00002-of-00003/],
    ["a count that differs from its name's", set(0, "split.count", 4), /name of the file: expected …-00001-of-00004/],
    ["no number of tensors", (parts) => void parts[0]?.metadata.delete("split.tensors.count"), /split\.tensors\.count/],
    [
      "a wrong number of tensors",
      (parts) => {
        for (const [i] of parts.entries()) set(i, "split.tensors.count", 2 ** 40)(parts);
      },
      /split\.tensors\.count: expected 11, the tensors of all parts, found 1099511627776/,
    ],
    [
      "a part without split keys",
      (parts) => parts[1]?.metadata.clear(),
      /00002.*split\.count: expected 3.*found nothing/,
    ],
    ["a part with another count", set(2, "split.count", 5), /00003.*split\.count: expected 3, as in .*00001.*found 5/],
    ["a part twice", set(2, "split.no", 1), /00003.*split\.no: expected 2, as its name says, found 1/],
    [
      "a part with another number of tensors",
      set(1, "split.tensors.count", 7),
      /00002.*split\.tensors\.count: expected 11.*found 7/,
    ],
    [
      "a part of another model",
      set(1, "general.architecture", "qwen2"),
      /00002.*"general\.architecture": expected "llama", as in .*00001.*found "qwen2"/,
    ],
    [
      "a tensor in two parts",
      ([a, b]) => void (b && a?.tensors[0] && b.tensors.push(a.tensors[0])),
      /00002.*tensor "token_embd\.weight": expected once in all parts, found twice/,
    ],
    [
      "a missing tensor",
      ([, , c]) => void c?.tensors.pop(),
      /split\.tensors\.count: expected 10, the tensors of all parts, found 11/,
    ],
  ])("rejects %s", (_, spoil, message) => {
    const [path = ""] = splitGguf(valid, folder, 3, spoil);
    expect(() => openGguf(path)).toThrow(message);
  });

  it("rejects a renamed part, and reads a single file of any name", () => {
    const [path = ""] = splitGguf(valid, folder, 2);
    renameSync(path, join(folder, "renamed.gguf"));
    expect(() => openGguf(join(folder, "renamed.gguf"))).toThrow(/name of the file: .*found "renamed\.gguf"/);
    copyFileSync(valid, join(folder, "model-00007-of-00009.gguf"));
    expect(contentOf(join(folder, "model-00007-of-00009.gguf")).tensors).toEqual(contentOf(valid).tensors);
  });

  it("rejects a part outside of the folder, except in the Hugging Face cache", () => {
    const [first = "", second = ""] = splitGguf(valid, folder, 2);
    const outside = join(root, "outside.gguf");
    renameSync(second, outside);
    symlinkSync(outside, second);
    expect(() => openGguf(first)).toThrow(/00002-of-00002\.gguf: cannot be read: it is a link that points outside/);
    // The file that the user names may be a link to anywhere.
    symlinkSync(first, join(root, "model-00001-of-00002.gguf"));
    expect(() => openGguf(join(root, "model-00001-of-00002.gguf"))).toThrow(/00002-of-00002\.gguf: no such file/);

    const snapshot = join(root, "models--a--b/snapshots/0123");
    mkdirSync(join(root, "models--a--b/blobs"), { recursive: true });
    mkdirSync(snapshot, { recursive: true });
    const links = splitGguf(valid, root, 2, (parts) => {
      for (const [i, part] of parts.entries()) part.name = `blob${i}`;
    });
    for (const [i, from] of links.entries()) {
      renameSync(from, join(root, "models--a--b/blobs", `blob${i}`));
      symlinkSync(`../../blobs/blob${i}`, join(snapshot, `model-0000${i + 1}-of-00002.gguf`));
    }
    expect(contentOf(join(snapshot, "model-00002-of-00002.gguf")).tensors).toEqual(contentOf(valid).tensors);
  });

  it("names the part that is damaged", () => {
    const [first = "", second = ""] = splitGguf(valid, folder, 2);
    truncateSync(second, statSync(second).size - 64);
    expect(() => openGguf(first)).toThrow(
      /00002-of-00002\.gguf: tensor "blk.0.ffn_down.weight", .* a range inside the file/,
    );
  });
});

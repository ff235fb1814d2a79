import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeZip } from "../../../test/support/make-zip.ts";
import { type PackageWheel, withPackageFiles } from "./package-files.ts";

const archive = makeZip([
  { name: "made/a.txt", content: Buffer.from("first") },
  { name: "made/data/a.txt", content: Buffer.from("second") },
]);
const wheel: PackageWheel = {
  ...{ packageName: "made", version: "1.0", fileName: "made-1.0-py3-none-any.whl", nBytes: archive.length },
  sha256: createHash("sha256").update(archive).digest("hex"),
};

let cache = "";
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "idlm-packages-"));
});
afterEach(() => rmSync(cache, { recursive: true }));

/** A program in place of pip, which downloads these bytes. */
function pipWith(bytes: Uint8Array): readonly (readonly [string, ...string[]])[] {
  const [script, made] = [join(cache, "pip.mjs"), join(cache, "made")];
  writeFileSync(made, bytes);
  writeFileSync(
    script,
    `import { copyFileSync } from "node:fs";
     const dest = process.argv[process.argv.indexOf("--dest") + 1];
     copyFileSync(${JSON.stringify(made)}, dest + "/made-1.0-py3-none-any.whl");`,
  );
  return [[process.execPath, script]];
}

const noPip = [["idlm-test-no-such-program"]] as const;
const members = ["made/a.txt", "made/data/a.txt"];
const read = (pipCommands: readonly (readonly [string, ...string[]])[], names = members) =>
  withPackageFiles(wheel, names, { cache, hint: "Do without.", pipCommands }, (paths) =>
    paths.map((path) => readFileSync(path, "utf8")),
  );
const leftovers = () => readdirSync(join(cache, "tmp"));

describe("withPackageFiles", () => {
  it("downloads a wheel once, and removes the files that were read", async () => {
    expect(await read(pipWith(archive))).toEqual(["first", "second"]);
    expect(await read(noPip)).toEqual(["first", "second"]);
    expect(leftovers()).toEqual([]);
  });

  it("downloads a damaged wheel again", async () => {
    await read(pipWith(archive));
    writeFileSync(join(cache, "packages", wheel.fileName), archive.subarray(1));
    expect(await read(pipWith(archive))).toEqual(["first", "second"]);
  });

  it("rejects another wheel of that name, a missing member, and a machine without pip", async () => {
    await expect(read(pipWith(archive.subarray(1)))).rejects.toMatchObject({
      code: "checksum",
      message: expect.stringMatching(/SHA-256 is .* The file was not used\. Do without\./),
    });
    await expect(read(noPip)).rejects.toThrow(/made==1.0: no pip was found .* try again\. Do without\./);
    await expect(read(pipWith(archive), ["made/none"])).rejects.toMatchObject({ code: "file-malformed" });
    expect(leftovers()).toEqual([]);
  });

  it("stops on an abort", async () => {
    const options = { cache, hint: "", pipCommands: pipWith(archive), signal: AbortSignal.abort() };
    await expect(withPackageFiles(wheel, members, options, () => 1)).rejects.toMatchObject({ name: "AbortError" });
  });
});

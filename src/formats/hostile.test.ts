import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { IdlmError } from "../errors.ts";
import { openGguf } from "./gguf/gguf.ts";
import { openSafetensors } from "./safetensors/safetensors.ts";
import { openSafetensorsFolder } from "./safetensors/safetensors-shards.ts";
import type { TensorFile } from "./tensor/tensor.ts";

const folder = join(import.meta.dirname, "../../test/fixtures/hostile");

interface HostileCase {
  readonly file: string;
  readonly format: "gguf" | "safetensors" | "directory";
  readonly level: "format" | "model";
  readonly expect: "error" | "loads" | "either";
  readonly wrong: string;
}

const cases = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as HostileCase[];

function open(hostile: HostileCase): TensorFile {
  const path = join(folder, hostile.file);
  if (hostile.format === "gguf") return openGguf(path);
  return hostile.format === "safetensors" ? openSafetensors(path) : openSafetensorsFolder(path);
}

/** Opens the file and reads every byte of every tensor. */
function readAll(hostile: HostileCase): number {
  const file = open(hostile);
  try {
    let nBytes = 0;
    for (const tensor of file.tensors.values()) nBytes += tensor.bytes.length;
    return nBytes;
  } finally {
    file.close();
  }
}

describe("malformed files", () => {
  // Errors of the model rather than of the container are found when the model is opened.
  const mustFail = ({ level, format, expect: expected }: HostileCase) =>
    expected === "error" && (level === "format" || format === "directory");

  it.each(cases.filter(mustFail))("$file is rejected: $wrong", (hostile) => {
    let thrown: unknown;
    try {
      readAll(hostile);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(IdlmError);
    expect(["file-malformed", "file-missing", "unsupported"]).toContain((thrown as IdlmError).code);
    expect((thrown as IdlmError).message).toContain(hostile.file);
  });

  it.each(
    cases.filter((hostile) => hostile.expect === "loads" || (hostile.level === "model" && hostile.format === "gguf")),
  )("$file is read: $wrong", (hostile) => {
    expect(readAll(hostile)).toBeGreaterThanOrEqual(0);
  });

  it.each(cases.filter((hostile) => hostile.level === "format" && hostile.expect === "either"))(
    "$file is rejected or read: $wrong",
    (hostile) => {
      try {
        readAll(hostile);
      } catch (error) {
        expect(error).toBeInstanceOf(IdlmError);
      }
    },
  );

  it("names a shard outside of the folder, and does not open it", () => {
    expect(() => openSafetensorsFolder(join(folder, "dir-index-traversal"))).toThrow(
      /passwd.*lies outside of the folder/,
    );
  });

  it("names a missing shard", () => {
    expect(() => openSafetensorsFolder(join(folder, "dir-shard-missing"))).toThrow(
      /model-00002-of-00002.*no such file/,
    );
  });
});

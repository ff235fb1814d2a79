import { createHash } from "node:crypto";
import { IdlmError } from "../../errors.ts";
import { malformed } from "../../formats/files/malformed.ts";
import { openSafetensors } from "../../formats/safetensors/safetensors.ts";
import { type TensorToWrite, writeSafetensors } from "../../formats/safetensors/safetensors-writer.ts";

/** Tensors by name, and the remaining state of a run, as JSON. */
export interface CheckpointContent {
  readonly tensors: ReadonlyMap<string, TensorToWrite>;
  readonly state: string;
}

/**
 * Writes one safetensors file, atomically. Its metadata hold the state and a SHA-256 of the state and all tensors.
 * @throws IdlmError "file-unwritable".
 */
export function writeCheckpointFile(path: string, content: CheckpointContent): void {
  writeSafetensors(path, content.tensors, { state: content.state, sha256: hashOf(content) });
}

/**
 * Reads a checkpoint and checks its SHA-256; tensors are copies.
 * @throws IdlmError "checksum", "file-malformed", "file-missing", "file-unreadable".
 */
export function readCheckpointFile(path: string): CheckpointContent {
  const file = openSafetensors(path);
  try {
    const state = file.metadata.get("state");
    const expected = file.metadata.get("sha256");
    if (state === undefined || expected === undefined) {
      throw malformed(path, "__metadata__", "state and sha256, as in a checkpoint", "something else");
    }
    const tensors = new Map<string, TensorToWrite>();
    for (const [name, { type, shape, bytes }] of file.tensors) tensors.set(name, { type, shape, bytes: bytes.slice() });
    const content = { tensors, state };
    const found = hashOf(content);
    if (found !== expected) throw new IdlmError("checksum", { path, algorithm: "SHA-256", found, expected });
    return content;
  } finally {
    file.close();
  }
}

function hashOf({ tensors, state }: CheckpointContent): string {
  const hash = createHash("sha256").update(JSON.stringify(state));
  for (const name of [...tensors.keys()].sort()) {
    const { type, shape, bytes } = tensors.get(name) as TensorToWrite;
    hash.update(JSON.stringify([name, type, shape])).update(bytes);
  }
  return hash.digest("hex");
}

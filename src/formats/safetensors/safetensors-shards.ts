import { existsSync } from "node:fs";
import { dirname, isAbsolute } from "node:path";
import { kindOf, readJsonObject, requireObject } from "../files/json.ts";
import { malformed, quote } from "../files/malformed.ts";
import { fileInFolder } from "../files/model-folder.ts";
import type { FileTensor } from "../tensor/stored-tensor.ts";
import { openSafetensors, type SafetensorsFile } from "./safetensors.ts";

/** Published models of 700 GB have fewer than 200 shards; each keeps a file open. */
const MAX_SHARDS = 1000;

const INDEX_NAME = "model.safetensors.index.json";
const SINGLE_NAME = "model.safetensors";

/** Opens the weights of a Hugging Face model folder: all shards if it has an index, else its single file. */
export function openSafetensorsFolder(folder: string): SafetensorsFile {
  const index = fileInFolder(folder, INDEX_NAME);
  if (existsSync(index)) return openShardedSafetensors(index);
  return openSafetensors(fileInFolder(folder, SINGLE_NAME), `A model folder holds ${SINGLE_NAME} or ${INDEX_NAME}.`);
}

/**
 * Opens a sharded model by its index (`weight_map`: tensor name → file name in the same folder). Tensors that the index
 * does not list are left out. A shard outside of the folder is not opened. Errors: those of `openSafetensors`.
 */
export function openShardedSafetensors(indexPath: string): SafetensorsFile {
  const index = readJsonObject(indexPath);
  const weightMap = Object.entries(requireObject(index.weight_map, indexPath, "weight_map"));
  const shards = new Map<string, SafetensorsFile>();
  const close = () => {
    for (const shard of shards.values()) shard.close();
  };
  try {
    const names = new Set(weightMap.map(([tensor, name]) => checkShardName(tensor, name, indexPath)));
    if (names.size > MAX_SHARDS) throw malformed(indexPath, "weight_map", `at most ${MAX_SHARDS} files`, names.size);
    for (const name of names) {
      const hint = `${INDEX_NAME} lists it. Download the model again.`;
      shards.set(name, openSafetensors(fileInFolder(dirname(indexPath), name), hint));
    }
    const tensors = new Map<string, FileTensor>();
    for (const [tensorName, shardName] of weightMap) {
      const tensor = shards.get(String(shardName))?.tensors.get(tensorName);
      if (tensor === undefined) {
        throw malformed(
          indexPath,
          `weight_map ${quote(tensorName)}`,
          `a tensor of ${quote(String(shardName))}`,
          "no such tensor",
        );
      }
      tensors.set(tensorName, tensor);
    }
    const files = [...shards.values()].flatMap((shard) => shard.files);
    const metadata = shards.values().next().value?.metadata ?? new Map<string, string>();
    return { path: indexPath, files, metadata, tensors, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Checks the name only; `fileInFolder` checks where links point. */
function checkShardName(tensor: string, name: unknown, indexPath: string): string {
  const field = `weight_map ${quote(tensor)}`;
  if (typeof name !== "string" || name === "") throw malformed(indexPath, field, "a file name", kindOf(name));
  if (isAbsolute(name) || /[\\:\0]/.test(name) || name.split("/").includes("..")) {
    throw malformed(
      indexPath,
      field,
      "a file in the model's folder",
      `${quote(name)}, which lies outside of the folder`,
    );
  }
  return name;
}

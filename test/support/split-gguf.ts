import { join } from "node:path";
import { openGguf } from "../../src/formats/gguf/gguf.ts";
import { type GgufTensorToWrite, type GgufValueToWrite, writeGguf } from "../../src/formats/gguf/gguf-writer.ts";

/** One part of a split model before it is written; tests may corrupt it. */
export interface Part {
  /** File name. */
  name: string;
  metadata: Map<string, GgufValueToWrite>;
  tensors: GgufTensorToWrite[];
}

/**
 * Splits a GGUF file like llama-gguf-split: all metadata in the first part, only the split keys in the others. `spoil` may
 * change the parts before they are written. Returns the paths.
 */
export function splitGguf(
  from: string,
  folder: string,
  nParts: number,
  spoil: (parts: readonly Part[]) => void = () => {},
): string[] {
  const file = openGguf(from);
  const tensors = [...file.tensors.values()].map(
    ({ name, type, shape, bytes }): GgufTensorToWrite => ({
      name,
      type,
      dimensions: [...shape].reverse(),
      data: bytes,
    }),
  );
  const perPart = Math.ceil(tensors.length / nParts);
  const parts = Array.from({ length: nParts }, (_, index): Part => {
    const number = (value: number) => String(value).padStart(5, "0");
    return {
      name: `model-${number(index + 1)}-of-${number(nParts)}.gguf`,
      metadata: new Map<string, GgufValueToWrite>([
        ...(index === 0 ? file.metadata : []),
        ["split.no", { type: "u16", value: index }],
        ["split.count", { type: "u16", value: nParts }],
        ["split.tensors.count", { type: "i32", value: tensors.length }],
      ]),
      tensors: tensors.slice(index * perPart, (index + 1) * perPart),
    };
  });
  spoil(parts);
  const paths = parts.map(({ name, metadata, tensors }) => {
    const path = join(folder, name);
    writeGguf(path, { metadata, tensors });
    return path;
  });
  file.close();
  return paths;
}

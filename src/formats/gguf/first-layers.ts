import { IdlmError } from "../../errors.ts";
import { malformed } from "../files/malformed.ts";
import { describeValue, openGguf } from "./gguf.ts";
import { type GgufValueToWrite, writeGguf } from "./gguf-writer.ts";

/** GGUF keys whose values are f32 even if they are whole numbers (llama.cpp requires it). */
const floatKeys = /\.(rope\.freq_base|rope\.scaling\.\w*factor|attention\.layer_norm_(rms_)?epsilon)$/;

/**
 * Writes a GGUF model with the first layers of another one and its embedding, final norm and output matrix: a small model
 * with the same vocabulary, for use as a draft model. It has not been trained to stand alone.
 * @throws IdlmError "usage" if the model has fewer layers, and the errors of `openGguf` and `writeGguf`.
 */
export function writeFirstLayers(from: string, to: string, nLayers: number): void {
  const file = openGguf(from);
  try {
    const { metadata } = file;
    const key = `${String(metadata.get("general.architecture"))}.block_count`;
    const count = metadata.get(key);
    if (typeof count !== "number") throw malformed(from, key, "the number of layers", describeValue(count));
    if (!(Number.isInteger(nLayers) && nLayers >= 1 && nLayers <= count)) {
      const problem = `cannot keep ${nLayers} of the ${count} layers of ${from}`;
      throw new IdlmError("usage", { problem, hint: `Choose 1 to ${count}.` });
    }
    const entries = [...metadata]
      .filter(([name]) => !name.startsWith("split."))
      .map(([name, value]): [string, GgufValueToWrite] => {
        if (name === key) return [name, nLayers];
        return [name, floatKeys.test(name) && typeof value === "number" ? { type: "f32", value } : value];
      });
    const kept = [...file.tensors.values()].filter(({ name }) => {
      const layer = /^blk\.(\d+)\./.exec(name)?.[1];
      return layer === undefined || Number(layer) < nLayers;
    });
    const tensors = kept.map((tensor) => ({
      name: tensor.name,
      type: tensor.type,
      dimensions: [...tensor.shape].reverse(),
      // Read only when it is written.
      data: {
        *[Symbol.iterator]() {
          yield tensor.bytes;
        },
      },
    }));
    writeGguf(to, { metadata: entries, tensors });
  } finally {
    file.close();
  }
}

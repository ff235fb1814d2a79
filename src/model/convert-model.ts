import { IdlmError } from "../errors.ts";
import { malformed, quote } from "../formats/files/malformed.ts";
import { type GgufTensorToWrite, type GgufValueToWrite, writeGgufInTurns } from "../formats/gguf/gguf-writer.ts";
import { dequantise } from "../formats/tensor/dequantise.ts";
import { quantise, type StorableType } from "../formats/tensor/quantise.ts";
import { typeLayout } from "../formats/tensor/tensor-type.ts";
import { tokenizerFromGguf } from "../tokenizer/index.ts";
import { tokenizerToGguf } from "../tokenizer/tokenizer-to-gguf.ts";
import { configToGguf, ropeTensor } from "./config/config-to-gguf.ts";
import { type ModelWeight, type OpenedModel, openModel, rotationOrder } from "./open/open-model.ts";
import { ggufName } from "./open/weight-names.ts";

/** Weights are read and written in pieces of about this size. */
const PIECE_ELEMENTS = 1 << 20;

/** Values of `general.file_type` (llama.cpp's `llama_ftype`). */
const fileTypes: Readonly<Record<StorableType, number>> = { F32: 0, F16: 1, Q8_0: 7, BF16: 32 };

/** Values from here on become infinite. */
const limits: Readonly<Record<StorableType, number>> = {
  F32: Number.POSITIVE_INFINITY,
  F16: 65_520,
  BF16: 2 ** 128 - 2 ** 119,
  Q8_0: 65_520 * 127,
};

/**
 * Writes a Hugging Face folder as a GGUF file, atomically: its matrices as `type`, those whose rows are not whole blocks as
 * F16, vectors as F32; the tokenizer and chat template go along. The file is read back to check it.
 * @throws IdlmError "usage" for a GGUF file, "unsupported" for what GGUF cannot say, "file-malformed" for weights that are
 * not finite; the errors of `openModel` and `writeGguf`; an AbortError.
 */
export async function convertModel(from: string, to: string, type: StorableType, signal?: AbortSignal): Promise<void> {
  const model = openModel(from, "huggingface");
  try {
    checkConvertible(model);
    const { architecture, vocabSize } = model.config;
    const metadata: [string, GgufValueToWrite][] = [
      ["general.architecture", architecture],
      ["general.file_type", fileTypes[type]],
      // Of the layout of quantised blocks (ggml's GGML_QNT_VERSION).
      ["general.quantization_version", 2],
      ...configToGguf(model.config),
      ...(model.text === undefined ? [] : tokenizerToGguf(from, model.text, vocabSize)),
    ];
    const rope = ropeTensor(model.config);
    const tensors = [...model.weights].map(([name, weight]) => tensorToWrite(model, name, weight, type));
    await writeGgufInTurns(to, { metadata, tensors: rope === undefined ? tensors : [rope, ...tensors] }, signal);
  } finally {
    model.close();
  }
  const written = openModel(to, "gguf");
  try {
    if (written.metadata !== undefined) tokenizerFromGguf(written.metadata, to);
  } finally {
    written.close();
  }
}

function checkConvertible({ path, config }: OpenedModel): void {
  const refuse = (feature: string) =>
    new IdlmError("unsupported", { path, feature, hint: "GGUF has no place for it; use the folder as it is." });
  if (config.slidingWindows?.some((window) => window !== undefined)) throw refuse("a sliding window of attention");
  if (config.rope.kind === "yarn" && !config.rope.truncate) throw refuse("YaRN without truncation");
}

function tensorToWrite(model: OpenedModel, name: string, weight: ModelWeight, wanted: StorableType): GgufTensorToWrite {
  const { shape } = weight.tensor;
  const cols = shape.length === 1 ? 1 : (shape.at(-1) ?? 1);
  const isWhole = cols % typeLayout(wanted).blockSize === 0;
  const type = shape.length === 1 ? "F32" : isWhole ? wanted : "F16";
  const order = rotationOrder(model.config, name);
  const data = { [Symbol.iterator]: () => pieces(model.path, weight, cols, type, order && inverse(order)) };
  return { name: ggufName(name), dimensions: [...shape].reverse(), type, data };
}

/** The stored bytes of a weight, some rows at a time, in the order of `rows` (default: as they are). */
function* pieces(
  path: string,
  { tensor }: ModelWeight,
  cols: number,
  type: StorableType,
  rows: Int32Array | undefined,
): Generator<Uint8Array> {
  const [nRows = 0] = tensor.shape;
  const bytes = tensor.bytes;
  const rowBytes = bytes.length / nRows;
  const step = Math.max(1, Math.floor(PIECE_ELEMENTS / cols));
  for (let first = 0; first < nRows; first += step) {
    const values = new Float32Array(Math.min(step, nRows - first) * cols);
    for (let i = 0; i < values.length / cols; i++) {
      const row = rows?.[first + i] ?? first + i;
      const from = bytes.subarray(row * rowBytes, (row + 1) * rowBytes);
      dequantise(tensor.type, from, values.subarray(i * cols, (i + 1) * cols));
    }
    const wrong = values.find((value) => !(Math.abs(value) < limits[type]));
    if (wrong !== undefined) {
      throw malformed(path, `tensor ${quote(tensor.name)}`, `finite values that ${type} can hold`, wrong);
    }
    yield quantise(type, values);
  }
}

function inverse(order: Int32Array): Int32Array {
  const result = new Int32Array(order.length);
  order.forEach((to, from) => {
    result[to] = from;
  });
  return result;
}

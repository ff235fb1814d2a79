import type { Operation } from "../program/operations.ts";
import { draftVocabularyOf, HEAD_INPUT, type HeadProgram, type Parameter, type Program } from "../program/program.ts";

/** A program as the addon takes it: values share buffers, and what follows one another over one input is one operation. */
export interface NativeProgram {
  readonly nLayers: number;
  readonly hiddenSize: number;
  readonly vocabSize: number;
  readonly nHeads: number;
  readonly nKvHeads: number;
  readonly headDim: number;
  readonly cacheType: Program["cacheType"];
  readonly rope: Program["rope"];
  readonly buffers: Readonly<Record<string, number>>;
  readonly weights: Readonly<Record<string, Parameter>>;
  readonly operations: readonly Readonly<Record<string, unknown>>[];
  readonly mask?: Readonly<Record<string, unknown>>;
  readonly draftVocabulary?: Int32Array;
  readonly extraHeads: readonly Readonly<Record<string, Float32Array>>[];
}

/** Translates a program until the addon lowers its list by itself. */
export function nativeProgram(program: Program): NativeProgram {
  const { sizes, cacheType, rope, values, parameters, forward, mask, heads } = program;
  const buffers: Record<string, number> = {};
  const bufferOf = new Map<string, string>();
  const place = (value: string, buffer: string) => {
    buffers[buffer] = values[value]?.width ?? 0;
    bufferOf.set(value, buffer);
    return buffer;
  };
  const at = (value: string) => bufferOf.get(value) ?? "";
  const operations: Record<string, unknown>[] = [];
  let isGathered = false;
  let attention: Operation<"attention">["attributes"] | undefined;
  let rotated: string[] = [];
  forward.forEach((op, index) => {
    const { kind, out } = op;
    switch (kind) {
      case "embed":
        operations.push({ kind, weight: op.parameters.weight, out: place(out, "x") });
        break;
      case "mask-embed":
        break;
      case "enter":
        operations.push({ kind, x: at(op.inputs.x) });
        break;
      case "join":
        place(out, at(op.inputs.token));
        break;
      case "rmsnorm": {
        const x = at(op.inputs.x);
        const isWhole = op.attributes.width === values[op.inputs.x]?.width;
        const { weight } = op.parameters;
        operations.push({
          kind,
          x,
          weight,
          epsilon: op.attributes.epsilon,
          out: place(out, !isWhole ? x : isGathered ? "h" : "n"),
        });
        break;
      }
      case "linear": {
        // A row of linears of one input, each with its low-rank term, begins with the first of them.
        if (isPart(forward[index - 1], op.inputs.x)) break;
        const parts = partsFrom(forward, index);
        const names = [["o"], ["g", "u"], ["q", "k", "v"]][parts.length - 1] ?? [];
        operations.push({
          kind,
          x: at(op.inputs.x),
          parts: parts.map(({ linear, lora }, i) => {
            place(linear.out, names[i] ?? "");
            const { weight, bias } = linear.parameters;
            const term = lora && {
              rank: parameters[lora.parameters.a]?.rows,
              a: floatsOf(parameters[lora.parameters.a]),
              b: floatsOf(parameters[lora.parameters.b]),
              scale: lora.attributes.scale,
            };
            return { weight, ...(bias !== undefined && { bias }), ...(term && { lora: term }), out: at(linear.out) };
          }),
        });
        break;
      }
      case "lora":
        place(out, at(op.inputs.y));
        break;
      case "rope":
        rotated.push(place(out, at(op.inputs.x)));
        break;
      case "attention": {
        const [q, k] = rotated;
        rotated = [];
        attention = op.attributes;
        const { layer } = attention;
        operations.push({ kind: "rope", q, k }, { kind, layer, q, k, v: at(op.inputs.v), out: place(out, "a") });
        break;
      }
      case "swiglu":
        operations.push({ kind, gate: at(op.inputs.gate), up: at(op.inputs.up), out: place(out, "m") });
        break;
      case "add":
        operations.push({ kind, x: at(op.inputs.x), y: at(op.inputs.y) });
        place(out, at(op.inputs.x));
        break;
      case "gather":
        isGathered = true;
        operations.push({ kind, x: at(op.inputs.x), out: place(out, "y") });
        break;
      case "logits":
        if (op.rows === "output-token") operations.push({ kind, x: at(op.inputs.x), weight: op.parameters.weight });
        break;
      default:
        throw new Error(`operation ${kind} is not lowered`);
    }
  });
  const draftVocabulary = draftVocabularyOf(program);
  const { nHeads = 1, nKvHeads = 1, headDim = 2 } = attention ?? {};
  return {
    ...{ ...sizes, nHeads, nKvHeads, headDim, cacheType, rope, buffers, operations },
    weights: Object.fromEntries(Object.entries(parameters).filter(([, { origin }]) => origin === "base")),
    ...(mask && { mask: { ...mask, ...maskParameters(program) } }),
    ...(draftVocabulary && { draftVocabulary }),
    extraHeads: heads.extra.map((head) => {
      const { parameters: own } = onHidden(head);
      return { weight: floatsOf(parameters[own.weight]), bias: floatsOf(parameters[own.bias ?? ""]) };
    }),
  };
}

type Part = { readonly linear: Operation<"linear">; readonly lora: Operation<"lora"> | undefined };

function isPart(operation: Operation | undefined, x: string): boolean {
  return (operation?.kind === "linear" || operation?.kind === "lora") && operation.inputs.x === x;
}

function partsFrom(forward: readonly Operation[], index: number): readonly Part[] {
  const first = forward[index];
  const parts: Part[] = [];
  for (let i = index; first?.kind === "linear" && isPart(forward[i], first.inputs.x); i++) {
    const operation = forward[i];
    const next = forward[i + 1];
    if (operation?.kind === "linear") parts.push({ linear: operation, lora: next?.kind === "lora" ? next : undefined });
  }
  return parts;
}

function maskParameters({ parameters, forward, heads }: Program): Readonly<Record<string, unknown>> {
  let embedding: Float32Array | undefined;
  let entryScale = 1;
  for (const op of forward) {
    if (op.kind !== "mask-embed" && op.kind !== "enter") continue;
    embedding = floatsOf(parameters[op.parameters.embedding]);
    if (op.kind === "enter") entryScale = floatsOf(parameters[op.parameters.scale])[0] ?? 1;
  }
  if (heads.sampler === undefined) return { embedding, entryScale };
  const [w1, w2] = heads.sampler.operations.flatMap((op) =>
    op.kind === "linear" ? [floatsOf(parameters[op.parameters.weight])] : [],
  );
  return { embedding, entryScale, samplerHead: { w1, w2 } };
}

function onHidden({ operations }: HeadProgram): Operation<"linear"> {
  const found = operations.find((op) => op.kind === "linear" && op.inputs.x === HEAD_INPUT);
  if (found?.kind !== "linear") throw new Error("an extra head begins with a linear operation");
  return found;
}

/** Of an adapter: always float32. */
function floatsOf(parameter: Parameter | undefined): Float32Array {
  if (parameter?.type !== "F32") throw new Error("a parameter of an adapter is not float32");
  const { buffer, byteOffset, byteLength } = parameter.bytes;
  return new Float32Array(buffer, byteOffset, byteLength / 4);
}

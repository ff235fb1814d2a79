import fc from "fast-check";
import { openGguf } from "../../src/formats/gguf/gguf.ts";
import { type GgufTensorToWrite, type GgufValueToWrite, writeGguf } from "../../src/formats/gguf/gguf-writer.ts";
import type { TensorType } from "../../src/formats/tensor/tensor-type.ts";

/**
 * One mutation of a file. `at`, `to` and `length` are taken modulo the file's content, so that any numbers are valid for any
 * file. `inside`: mutate the content (JSON values, keys, tensors) instead of the bytes, where the format is known.
 */
export interface Edit {
  readonly kind: (typeof kinds)[number];
  readonly at: number;
  readonly to: number;
  readonly length: number;
  readonly value: bigint;
  readonly inside: boolean;
}

const kinds = ["bit", "number", "cut", "remove", "duplicate", "swap", "copy"] as const;

/** Values at the limits of integer types. */
const oddNumbers = [
  0n,
  1n,
  255n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n,
  2n ** 61n,
  2n ** 63n,
  2n ** 64n - 1n,
];

const any = fc.nat({ max: 0xffff_ffff });

export const edits: fc.Arbitrary<Edit[]> = fc.array(
  fc.record({
    kind: fc.constantFrom(...kinds),
    at: any,
    to: any,
    length: fc.integer({ min: 1, max: 96 }),
    value: fc.oneof(fc.constantFrom(...oddNumbers), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
    inside: fc.boolean(),
  }),
  { minLength: 1, maxLength: 4 },
);

/** Applies mutations to bytes; most of them fall into the first `headerBytes`. */
export function mutateBytes(original: Buffer, list: readonly Edit[], headerBytes = original.length): Buffer {
  let bytes = Buffer.from(original);
  for (const { kind, at, to, length, value } of list) {
    const size = at % 8 === 0 ? bytes.length : Math.min(bytes.length, headerBytes);
    if (size === 0) return bytes;
    const a = Math.floor(at / 8) % size;
    const b = to % size;
    const piece = bytes.subarray(a, a + length);
    const other = bytes.subarray(b, b + length);
    if (kind === "bit") bytes.writeUInt8(bytes.readUInt8(a) ^ (1 << (to % 8)), a);
    else if (kind === "number" && to % 2 === 0 && a + 8 <= bytes.length) bytes.writeBigUInt64LE(value, a);
    else if (kind === "number" && a + 4 <= bytes.length) bytes.writeUInt32LE(Number(value & 0xffff_ffffn), a);
    else if (kind === "cut") bytes = bytes.subarray(0, a);
    else if (kind === "remove") bytes = Buffer.concat([bytes.subarray(0, a), bytes.subarray(a + length)]);
    else if (kind === "duplicate")
      bytes = Buffer.concat([bytes.subarray(0, a + length), piece, bytes.subarray(a + length)]);
    else if (kind === "copy") bytes.copy(bytes, b, a, a + length);
    else if (kind === "swap" && Math.abs(a - b) >= length) {
      const kept = Buffer.from(piece);
      other.copy(bytes, a);
      kept.subarray(0, other.length).copy(bytes, b);
    }
  }
  return bytes;
}

/** An unusual JSON value of any type. */
function oddValue({ value, to, length }: Edit): unknown {
  const odd: readonly unknown[] = [
    Number(value),
    -Number(value),
    1.5,
    1e308,
    null,
    true,
    "",
    "a".repeat(length),
    "\u0000\u202e%s../../etc/passwd",
    "(a+)+$",
    [],
    {},
    [[[[]]]],
    { __proto__: 1, constructor: 2 },
    Array.from({ length }, (_, i) => i),
  ];
  return odd[to % odd.length];
}

type Container = unknown[] | Record<string, unknown>;

function containersOf(root: unknown): Container[] {
  const found: Container[] = [];
  const walk = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    found.push(value as Container);
    for (const inner of Object.values(value)) walk(inner);
  };
  walk(root);
  return found;
}

/** JSON with values replaced, removed, duplicated, swapped. */
export function mutateJson(text: string, list: readonly Edit[]): string {
  const root = [JSON.parse(text)] as unknown[];
  for (const edit of list) {
    const { kind, at, to, length } = edit;
    const containers = containersOf(root);
    const container = containers[at % containers.length] as Record<string, unknown>;
    const other = containers[to % containers.length] as Record<string, unknown>;
    const keys = Object.keys(container);
    const key = keys[length % Math.max(1, keys.length)] ?? "0";
    const otherKey = Object.keys(other)[length % Math.max(1, Object.keys(other).length)] ?? "0";
    // A cyclic value would not be JSON.
    const copy = (value: unknown): unknown => (value === undefined ? null : JSON.parse(JSON.stringify(value)));
    if (kind === "bit" || kind === "number") container[key] = oddValue(edit);
    else if (kind === "cut" || kind === "remove") delete container[key];
    else if (kind === "duplicate")
      container[Array.isArray(container) ? container.length : `${key}2`] = copy(container[key]);
    else {
      const [mine, theirs] = [copy(container[key]), copy(other[otherKey])];
      container[key] = theirs;
      if (kind === "swap") other[otherKey] = mine;
    }
  }
  return JSON.stringify(root[0]) ?? "";
}

/** A safetensors file with a mutated JSON header and its new length. */
export function mutateSafetensors(original: Buffer, list: readonly Edit[]): Buffer {
  const length = Number(original.readBigUInt64LE(0));
  const header = Buffer.from(mutateJson(original.toString("utf8", 8, 8 + length), list));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([prefix, header, original.subarray(8 + length)]);
}

const types: readonly TensorType[] = ["F32", "F16", "BF16", "Q4_0", "Q8_0", "Q4_K", "Q6_K", "IQ4_XS", "I8", "F64"];

/** Writes a GGUF file with mutated keys and tensors to `path`. @throws RangeError if it cannot be written as GGUF. */
export function mutateGguf(original: string, path: string, list: readonly Edit[]): void {
  const file = openGguf(original);
  try {
    const metadata = [...file.metadata] as [string, GgufValueToWrite][];
    const tensors = [...file.tensors.values()].map(({ name, type, shape, bytes }) => {
      return { name, type, dimensions: [...shape].reverse(), data: bytes } satisfies GgufTensorToWrite;
    });
    for (const edit of list) {
      const { kind, at, to, length, value } = edit;
      const entry = metadata[at % metadata.length] as [string, GgufValueToWrite];
      const [tensor, other] = [tensors[at % tensors.length], tensors[to % tensors.length]];
      if (tensor === undefined || other === undefined) break;
      const isTensor = at % 3 === 0;
      if (isTensor && kind === "bit") tensor.type = types[to % types.length] ?? "F32";
      else if (isTensor && kind === "number") tensor.dimensions[to % 2] = Number(value % 512n);
      else if (isTensor && kind === "duplicate")
        tensors.push({ ...tensor, name: to % 2 === 0 ? tensor.name : "extra" });
      else if (isTensor && kind === "swap") [tensor.name, other.name] = [other.name, tensor.name];
      else if (isTensor && kind === "copy") tensor.name = other.name;
      else if (isTensor) tensors.splice(at % tensors.length, 1);
      else if (kind === "bit" || kind === "number") entry[1] = oddEntry(edit, entry[1]);
      else if (kind === "cut" || kind === "remove") metadata.splice(at % metadata.length, 1);
      else if (kind === "duplicate") metadata.push([`${entry[0]}2`, entry[1]]);
      else entry[1] = metadata[(to + length) % metadata.length]?.[1] ?? 0;
    }
    writeGguf(path, { metadata, tensors });
  } finally {
    file.close();
  }
}

function oddEntry(edit: Edit, old: GgufValueToWrite): GgufValueToWrite {
  const { value, to, length } = edit;
  if (Array.isArray(old) && to % 2 === 0) {
    const changed = [...(old as readonly string[])];
    const i = length % Math.max(1, changed.length);
    if (to % 8 === 0) changed.splice(i, 1);
    else changed[i] = to % 8 === 2 ? (changed[0] ?? "") : to % 8 === 4 ? "" : "a ".repeat(length);
    return changed;
  }
  if (ArrayBuffer.isView(old) && to % 2 === 0) {
    const changed = old.slice() as Int32Array;
    changed[length % Math.max(1, changed.length)] = Number(BigInt.asIntN(32, value));
    return to % 8 === 0 ? changed.subarray(1) : changed;
  }
  const odd: readonly GgufValueToWrite[] = [
    value,
    { type: "u32", value: value & 0xffff_ffffn },
    { type: "i64", value: -(value >> 1n) },
    { type: "f32", value: Number.NaN },
    { type: "f64", value: 1e300 },
    "",
    "{% for a in range(9) %}{{ a }}",
    true,
    [],
    ["a", "a"],
    new Int32Array(length),
    new Float32Array(length).fill(Number.NaN),
  ];
  return odd[to % odd.length] ?? 0;
}

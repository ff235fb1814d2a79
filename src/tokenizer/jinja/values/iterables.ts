import { TemplateError } from "../errors.ts";
import { PyObject, type Runtime, type Value } from "./value.ts";

export class Range extends PyObject {
  override readonly typeName = "range";
  readonly start: bigint;
  readonly stop: bigint;
  readonly step: bigint;
  readonly #length: number;

  constructor(start: bigint, stop: bigint, step: bigint) {
    super();
    if (step === 0n) throw new TemplateError("ValueError", "range() arg 3 must not be zero");
    this.start = start;
    this.stop = stop;
    this.step = step;
    const span = step > 0n ? stop - start : start - stop;
    const size = step > 0n ? step : -step;
    this.#length = span <= 0n ? 0 : Number((span + size - 1n) / size);
  }

  override get length(): number {
    return this.#length;
  }

  override attribute(name: string, runtime: Runtime): Value | undefined {
    if (name === "start" || name === "stop" || name === "step") return this[name];
    return name === "count" || name === "index" ? runtime.method(this, name) : undefined;
  }

  at(index: number): bigint {
    return this.start + BigInt(index) * this.step;
  }

  *#values(): Generator<Value, undefined> {
    for (let i = 0; i < this.length; i++) yield this.at(i);
    return undefined;
  }

  override iterate(): Iterator<Value> {
    return this.#values();
  }

  override show(): string {
    return `range(${this.start}, ${this.stop}${this.step === 1n ? "" : `, ${this.step}`})`;
  }
}

/** A Python generator or iterator: it can be read once, and is always true. */
export class PyIterator extends PyObject {
  override readonly typeName: string;
  readonly #iterator: Iterator<Value>;

  constructor(iterator: Iterator<Value>, typeName = "generator") {
    super();
    this.#iterator = iterator;
    this.typeName = typeName;
  }

  override iterate(): Iterator<Value> {
    return this.#iterator;
  }
}

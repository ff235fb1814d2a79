import type { CharacterSet } from "../characters.ts";
import { type Expression, type Grammar, partsOf } from "../expression.ts";
import { GrammarSize } from "../grammar-size.ts";
import { grammarProblem } from "../problem.ts";
import { type ByteRange, utf8Of } from "./utf8.ts";

/** Instructions while a grammar is compiled; a number is the index of an instruction. */
type Instruction =
  /** Reads a byte of the set with this index. */
  | { readonly op: "byte"; readonly set: number; readonly next: number }
  | { readonly op: "jump"; targets: readonly number[] }
  /** Runs a rule, then goes on at `next`. */
  | { readonly op: "call"; readonly rule: string; readonly next: number }
  /** Runs `body` `min` to `max` times. Each run reads something: empty runs are left out by `min`. */
  | {
      readonly op: "repeat";
      body: number;
      readonly next: number;
      readonly min: number;
      readonly max: number | undefined;
    }
  /** Ends a rule or the body of a repetition. */
  | { readonly op: "return" };

/** Codes of the instructions in a program. */
export const OP = { byte: 0, jump: 1, call: 2, repeat: 3, return: 4 } as const;

/**
 * Numbers per instruction in a program: its code, where it goes on, and three more. Of `byte` the index of its set; of `jump`
 * its first target and the one after its last in `targets`; of `call` the entry of the rule; of `repeat` body, min and max
 * (-1: none).
 */
export const INSTRUCTION_SIZE = 5;

/** Bytes of a set of bytes: 1 for each of the 256 that is in it. */
export const SET_SIZE = 256;

/** A compiled grammar. Arrays of numbers, which another thread can make and hand over without copying them. */
export interface Program {
  readonly instructions: Int32Array;
  readonly targets: Int32Array;
  readonly sets: Uint8Array;
  readonly start: number;
}

/** Most instructions; a grammar of them takes about 5 MB. */
const MAX_INSTRUCTIONS = 100_000;
/** Nesting of expressions, which are walked recursively. */
const MAX_DEPTH = 500;
/** Steps to find a property of all rules: rules that use each other take many. */
const MAX_FIXPOINT_STEPS = 1_000_000;

/** The instruction that every program starts with. */
const RETURN = 0;

/**
 * Compiles a grammar. @throws IdlmError "usage", naming `path`: a rule is missing or starts with itself, no text
 * matches, or it is too large.
 */
export function compile(grammar: Grammar, path: string): Program {
  const size = new GrammarSize(path);
  for (const body of [grammar.root, ...grammar.rules.values()]) checkExpression(body, grammar, path, size, 0);
  const isNullable = remembered(nullability(grammar, path));
  checkLeftRecursion(grammar, isNullable, path);
  if (!possibility(grammar, path)(grammar.root)) throw grammarProblem(path, "no text can match it");
  const compiler = new Compiler(isNullable, path);
  const rules = new Map<string, number>();
  for (const [name, body] of grammar.rules) rules.set(name, compiler.emit(body, RETURN));
  const start = compiler.emit(grammar.root, RETURN);
  return { ...packed(compiler.instructions, rules), sets: compiler.sets, start };
}

/** The instructions as numbers. */
function packed(instructions: readonly Instruction[], rules: ReadonlyMap<string, number>) {
  const numbers = new Int32Array(INSTRUCTION_SIZE * instructions.length);
  const targets: number[] = [];
  for (const [i, instruction] of instructions.entries()) {
    numbers.set(numbersOf(instruction, rules, targets), INSTRUCTION_SIZE * i);
  }
  return { instructions: numbers, targets: Int32Array.from(targets) };
}

/** Adds the targets of a jump to `targets`. */
function numbersOf(instruction: Instruction, rules: ReadonlyMap<string, number>, targets: number[]): number[] {
  switch (instruction.op) {
    case "byte":
      return [OP.byte, instruction.next, instruction.set];
    case "jump": {
      const first = targets.length;
      for (const target of instruction.targets) targets.push(target);
      return [OP.jump, RETURN, first, targets.length];
    }
    case "call":
      return [OP.call, instruction.next, rules.get(instruction.rule) as number];
    case "repeat":
      return [OP.repeat, instruction.next, instruction.body, instruction.min, instruction.max ?? -1];
    case "return":
      return [OP.return];
  }
}

class Compiler {
  readonly instructions: Instruction[] = [{ op: "return" }];
  readonly #isNullable: (expression: Expression) => boolean;
  readonly #path: string;
  /** Indices of the sets, by their ranges. */
  readonly #sets = new Map<string, number>();

  constructor(isNullable: (expression: Expression) => boolean, path: string) {
    this.#path = path;
    this.#isNullable = isNullable;
  }

  /** All sets, one after the other. */
  get sets(): Uint8Array {
    const all = new Uint8Array(SET_SIZE * this.#sets.size);
    for (const [key, index] of this.#sets) {
      for (const range of key.split(" ")) {
        const [first, last] = range.split(",").map(Number) as [number, number];
        all.fill(1, SET_SIZE * index + first, SET_SIZE * index + last + 1);
      }
    }
    return all;
  }

  /** Emits an expression that goes on at `next`. Returns its entry. */
  emit(expression: Expression, next: number): number {
    switch (expression.kind) {
      case "text": {
        const bytes = new TextEncoder().encode(expression.text);
        let entry = next;
        for (let i = bytes.length - 1; i >= 0; i--) {
          const byte = bytes[i] as number;
          entry = this.#byte([[byte, byte]], entry);
        }
        return entry;
      }
      case "characters":
        return this.#characters(expression.set, next);
      case "sequence":
        return expression.parts.reduceRight((entry, part) => this.emit(part, entry), next);
      case "choice":
        if (expression.parts.length > 1 && expression.parts.every((part) => part.kind === "text")) {
          const texts = expression.parts.map((part) => new TextEncoder().encode(part.text));
          return this.#texts(texts.sort(Buffer.compare), 0, next);
        }
        return this.#add({ op: "jump", targets: expression.parts.map((part) => this.emit(part, next)) });
      case "rule":
        return this.#add({ op: "call", rule: expression.name, next });
      case "repeat":
        return this.#repeat(expression, next);
    }
  }

  /** Texts in order, whose first `from` bytes are the same, as a tree: one way to read each beginning. */
  #texts(texts: readonly Uint8Array[], from: number, next: number): number {
    const targets: number[] = [];
    for (let i = 0; i < texts.length; ) {
      const byte = texts[i]?.[from];
      let end = i + 1;
      while (end < texts.length && texts[end]?.[from] === byte) end++;
      const group = texts.slice(i, end);
      const [only] = group;
      if (byte === undefined) targets.push(next);
      else if (group.length > 1) targets.push(this.#byte([[byte, byte]], this.#texts(group, from + 1, next)));
      else {
        const rest = Array.from(only?.subarray(from) ?? []);
        targets.push(rest.reduceRight((entry, own) => this.#byte([[own, own]], entry), next));
      }
      i = end;
    }
    const [single] = targets;
    return targets.length === 1 && single !== undefined ? single : this.#add({ op: "jump", targets });
  }

  #repeat({ part, min, max }: Extract<Expression, { kind: "repeat" }>, next: number): number {
    if (max === 0) return next;
    if (min === 0 && max === 1) return this.#add({ op: "jump", targets: [this.emit(part, next), next] });
    if (max === undefined && min <= 1) {
      const loop = { op: "jump" as const, targets: [] as readonly number[] };
      const index = this.#add(loop);
      const body = this.emit(part, index);
      loop.targets = [body, next];
      return min === 0 ? index : body;
    }
    const counted = { op: "repeat" as const, body: RETURN, next, min: this.#isNullable(part) ? 0 : min, max };
    const index = this.#add(counted);
    counted.body = this.emit(part, RETURN);
    return index;
  }

  /** The encodings of a set as a tree, those with the same rest together. */
  #characters(set: CharacterSet, next: number): number {
    const entries = new Map<string, { readonly ranges: ByteRange[]; readonly rest: readonly ByteRange[] }>();
    for (const [first, ...rest] of utf8Of(set)) {
      if (first === undefined) continue;
      const key = rest.join(" ");
      const same = entries.get(key);
      if (same === undefined) entries.set(key, { ranges: [first], rest });
      else same.ranges.push(first);
    }
    const targets = [...entries.values()].map(({ ranges, rest }) => {
      return this.#byte(
        ranges,
        rest.reduceRight((entry, range) => this.#byte([range], entry), next),
      );
    });
    return targets.length === 1 ? (targets[0] as number) : this.#add({ op: "jump", targets });
  }

  #byte(ranges: readonly ByteRange[], next: number): number {
    const key = ranges.join(" ");
    const set = this.#sets.get(key) ?? this.#sets.size;
    this.#sets.set(key, set);
    return this.#add({ op: "byte", set, next });
  }

  #add(instruction: Instruction): number {
    if (this.instructions.length === MAX_INSTRUCTIONS) {
      throw grammarProblem(this.#path, `it has more than ${MAX_INSTRUCTIONS} states`, "Make it smaller.");
    }
    return this.instructions.push(instruction) - 1;
  }
}

/** Whether some text matches an expression. */
function possibility(grammar: Grammar, path: string): (expression: Expression) => boolean {
  return fixpoint(grammar, path, (expression, holds) => {
    if (expression.kind === "characters") return expression.set.length > 0;
    if (expression.kind === "sequence") return expression.parts.every(holds);
    if (expression.kind === "choice") return expression.parts.some(holds);
    return expression.kind === "text" || (expression.kind === "repeat" && expression.min === 0);
  });
}

function checkExpression(
  expression: Expression,
  grammar: Grammar,
  path: string,
  size: GrammarSize,
  depth: number,
): void {
  size.add(expression);
  if (depth > MAX_DEPTH) throw grammarProblem(path, `it is nested more than ${MAX_DEPTH} levels deep`);
  if (expression.kind === "rule" && !grammar.rules.has(expression.name)) {
    throw grammarProblem(path, `there is no rule ${expression.name}`);
  }
  for (const part of partsOf(expression)) checkExpression(part, grammar, path, size, depth + 1);
}

/** Remembers a property of expressions: they are shared, and asked for at each level of nesting. */
function remembered(property: (expression: Expression) => boolean): (expression: Expression) => boolean {
  const known = new Map<Expression, boolean>();
  return (expression) => {
    const own = known.get(expression) ?? property(expression);
    known.set(expression, own);
    return own;
  };
}

/** Whether an expression matches the empty text. */
function nullability(grammar: Grammar, path: string): (expression: Expression) => boolean {
  return fixpoint(grammar, path, (expression, holds) => {
    if (expression.kind === "text") return expression.text === "";
    if (expression.kind === "sequence") return expression.parts.every(holds);
    if (expression.kind === "choice") return expression.parts.some(holds);
    return expression.kind === "repeat" && expression.min === 0;
  });
}

/**
 * The least property of expressions that holds where `own` says so, of a repetition where it holds of its part, and of a
 * rule where it holds of its body.
 */
function fixpoint(
  { rules }: Grammar,
  path: string,
  own: (expression: Expression, holds: (part: Expression) => boolean) => boolean,
): (expression: Expression) => boolean {
  const found = new Set<string>();
  let nSteps = 0;
  const holds = (expression: Expression): boolean => {
    nSteps++;
    if (expression.kind === "rule") return found.has(expression.name);
    return own(expression, holds) || (expression.kind === "repeat" && expression.max !== 0 && holds(expression.part));
  };
  const users = new Map<string, string[]>();
  for (const [name, body] of rules) {
    for (const used of rulesIn(body, new Set())) {
      const own = users.get(used);
      if (own === undefined) users.set(used, [name]);
      else own.push(name);
    }
  }
  const waiting = [...rules.keys()];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const body = rules.get(name);
    if (body === undefined || found.has(name) || !holds(body)) continue;
    found.add(name);
    for (const user of users.get(name) ?? []) waiting.push(user);
    if (nSteps > MAX_FIXPOINT_STEPS)
      throw grammarProblem(path, "its rules use each other too often", "Make it smaller.");
  }
  return holds;
}

function rulesIn(expression: Expression, found: Set<string>): Set<string> {
  if (expression.kind === "rule") found.add(expression.name);
  for (const part of partsOf(expression)) rulesIn(part, found);
  return found;
}

/** @throws if a rule can start with itself: reading would never get to a character. */
function checkLeftRecursion(grammar: Grammar, isNullable: (expression: Expression) => boolean, path: string): void {
  const firstRules = (expression: Expression, found: Set<string>): Set<string> => {
    if (expression.kind === "rule") found.add(expression.name);
    for (const part of partsOf(expression)) {
      firstRules(part, found);
      if (expression.kind === "sequence" && !isNullable(part)) break;
    }
    return found;
  };
  const states = new Map<string, "open" | "done">();
  // A list in place of recursion: chains of rules may be long.
  for (const start of grammar.rules.keys()) {
    const stack: { readonly name: string; readonly rest: string[] }[] = [];
    const enter = (name: string) => {
      states.set(name, "open");
      stack.push({ name, rest: [...firstRules(grammar.rules.get(name) as Expression, new Set())] });
    };
    if (!states.has(start)) enter(start);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const next = top.rest.pop();
      if (next === undefined) {
        states.set(top.name, "done");
        stack.pop();
      } else if (states.get(next) === "open") {
        throw grammarProblem(path, `the rule ${next} can start with itself`, "Write it so that it ends with itself.");
      } else if (!states.has(next)) enter(next);
    }
  }
}

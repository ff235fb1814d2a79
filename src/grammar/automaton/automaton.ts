import { grammarProblem } from "../problem.ts";
import { INSTRUCTION_SIZE, OP, type Program, SET_SIZE } from "./program.ts";

/** A frame of a thread's stack: where a rule returns to, or a repetition that runs its body for the `count`-th time. */
interface Frame {
  readonly id: number;
  /** The instruction after a call (count −1), or that of the repetition. */
  readonly at: number;
  readonly count: number;
  readonly below: Frame | undefined;
  readonly above: Map<number, Frame>;
}

/** A way to read the text so far: the next byte is read by the instruction `at`. */
interface Thread {
  readonly at: number;
  readonly stack: Frame | undefined;
}

/** All ways to read a text. States are immutable, and the same object while the automaton remembers them. */
export interface State {
  readonly threads: readonly Thread[];
  /** Whether the text may end here. */
  readonly canEnd: boolean;
  /** By byte: the state after it, or null if it is not allowed. Computed on demand. */
  readonly next: (State | null | undefined)[];
  /** States by the threads that read a byte, as bits; only with few threads. */
  readonly byThreads: Map<number, State>;
}

/** Most ways to read one text: more are an ambiguous grammar, whose masks would take too long. */
const MAX_THREADS = 4000;
/** Most states that are remembered. Beyond, all are forgotten, and computed again on demand. */
const MAX_STATES = 4000;
/** Threads of all remembered states. */
const MAX_REMEMBERED = 500_000;
/**
 * Most steps in a row that a grammar may take, some hundredths of a second, and those that each mask or token adds to what is
 * left of them. Ambiguous grammars take more; the others take a few thousand for a mask, one of 2,000 optional properties
 * 67,000, and none in a known state.
 */
const MAX_STEPS = 75_000;
const STEPS_PER_CALL = 5_000;
/** Most steps to the first state, some milliseconds: they are taken where the grammar is used, not where it is compiled. */
const MAX_FIRST_STEPS = 20_000;
/** Threads that are looked at in the time of a step. */
const THREADS_PER_STEP = 8;
/** Bits of a key of `byThreads`. */
const MAX_BITS = 30;
/** Above the largest number of frames that are pushed without reading a byte. */
const MAX_FRESH = 4096;

/**
 * A pushdown automaton over the bytes of a text. It follows all ways to read the text at once, and remembers what it has
 * computed: in a state that was visited before a byte takes one look-up.
 */
export class Automaton {
  readonly #program: Program;
  readonly #path: string;
  #states = new Map<string, State>();
  #bottom = new Map<number, Frame>();
  #nFrames = 0;
  #nThreads = 0;
  /** Steps that are left. */
  #steps = MAX_FIRST_STEPS;
  #start: State;

  /** @throws IdlmError "usage", naming `path`, as `after`. */
  constructor(program: Program, path: string) {
    this.#program = program;
    this.#path = path;
    this.#start = this.#closure([{ at: program.start, stack: undefined }]);
    this.#steps = MAX_STEPS;
  }

  /** The state before the first byte. */
  get start(): State {
    return this.#start;
  }

  /** Has to be called before `after`, or several calls that make a mask or a token. */
  addSteps(): void {
    this.#steps = Math.min(MAX_STEPS, Math.max(0, this.#steps) + STEPS_PER_CALL);
  }

  /**
   * The state after one more byte; undefined: the grammar does not allow it. @throws IdlmError "usage" if the grammar is
   * too ambiguous.
   */
  after(state: State, byte: number): State | null {
    const known = state.next[byte];
    if (known !== undefined) return known;
    const found = this.#afterByte(state, byte);
    state.next[byte] = found;
    return found;
  }

  /** The byte that has to come next; undefined: there are several, or none. */
  onlyByte({ threads }: State): number | undefined {
    const { sets } = this.#program;
    let only: number | undefined;
    for (const { at } of threads) {
      const start = this.#setOf(at);
      const first = sets.indexOf(1, start);
      const second = sets.indexOf(1, first + 1);
      const hasTwo = second >= 0 && second < start + SET_SIZE;
      if (hasTwo || (only !== undefined && only !== first - start)) return undefined;
      only = first - start;
    }
    return only;
  }

  #afterByte({ threads, byThreads }: State, byte: number): State | null {
    const { instructions, sets } = this.#program;
    const reading: Thread[] = [];
    let bits = 0;
    this.#step(Math.ceil(threads.length / THREADS_PER_STEP));
    for (const [i, { at, stack }] of threads.entries()) {
      if (sets[this.#setOf(at) + byte] !== 1) continue;
      reading.push({ at: instructions[INSTRUCTION_SIZE * at + 1] as number, stack });
      bits |= 1 << (i % MAX_BITS);
    }
    if (reading.length === 0) return null;
    const isKeyed = threads.length <= MAX_BITS;
    const same = isKeyed ? byThreads.get(bits) : undefined;
    if (same !== undefined) return same;
    const found = this.#closure(reading);
    if (isKeyed) byThreads.set(bits, found);
    return found;
  }

  /** Where in `sets` the set of a thread's instruction starts: threads of a state read a byte. */
  #setOf(at: number): number {
    return SET_SIZE * (this.#program.instructions[INSTRUCTION_SIZE * at + 2] as number);
  }

  /** The state whose threads are those that get to a byte from here without reading one. */
  #closure(from: readonly Thread[]): State {
    const { instructions, targets } = this.#program;
    const threads: Thread[] = [];
    let canEnd = false;
    const seen = new Map<Frame | undefined, Set<number>>();
    // `fresh`: frames on top of the stack that were pushed since the last byte.
    const waiting: (Thread & { readonly fresh: number })[] = [];
    const number = (at: number, i: number) => instructions[INSTRUCTION_SIZE * at + i] as number;
    const visit = (at: number, stack: Frame | undefined, fresh: number) => {
      if (fresh >= MAX_FRESH) throw this.#tooComplex();
      const keysOfStack = seen.get(stack) ?? new Set();
      seen.set(stack, keysOfStack);
      const key = at * MAX_FRESH + fresh;
      if (keysOfStack.has(key)) return;
      keysOfStack.add(key);
      waiting.push({ at, stack, fresh });
    };
    const repeat = (at: number, stack: Frame | undefined, count: number, fresh: number) => {
      const [next, body, min, max] = [number(at, 1), number(at, 2), number(at, 3), number(at, 4)];
      if (count >= min) visit(next, stack, fresh);
      if (max < 0) visit(body, this.#push(stack, at, Math.min(count + 1, min)), fresh + 1);
      else if (count < max) visit(body, this.#push(stack, at, count + 1), fresh + 1);
    };
    for (const { at, stack } of from) visit(at, stack, 0);
    for (let thread = waiting.pop(); thread !== undefined; thread = waiting.pop()) {
      this.#step(1);
      const { at, stack, fresh } = thread;
      const next = number(at, 1);
      switch (number(at, 0)) {
        case OP.byte:
          threads.push({ at, stack });
          break;
        case OP.jump:
          for (let i = number(at, 2); i < number(at, 3); i++) visit(targets[i] as number, stack, fresh);
          break;
        case OP.call: {
          const entry = number(at, 2);
          // A call at the end of a rule needs no frame, so that lists that end with themselves stay in one state.
          if (number(next, 0) === OP.return) visit(entry, stack, fresh);
          else visit(entry, this.#push(stack, next, -1), fresh + 1);
          break;
        }
        case OP.repeat:
          repeat(at, stack, 0, fresh);
          break;
        case OP.return:
          if (stack === undefined) canEnd = true;
          else if (stack.count < 0) visit(stack.at, stack.below, Math.max(0, fresh - 1));
          // A run that read nothing does not count.
          else if (fresh === 0) repeat(stack.at, stack.below, stack.count, 0);
          break;
      }
    }
    return this.#intern(threads, canEnd);
  }

  #intern(threads: Thread[], canEnd: boolean): State {
    const distinct = new Map<string, Thread>();
    for (const thread of threads) distinct.set(`${thread.stack?.id ?? 0}:${thread.at}`, thread);
    if (distinct.size > MAX_THREADS) throw this.#tooComplex();
    const keys = [...distinct.keys()].sort();
    const key = `${canEnd} ${keys.join(" ")}`;
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    if (this.#states.size >= MAX_STATES || this.#nThreads > MAX_REMEMBERED) this.#forget();
    this.#nThreads += distinct.size;
    const state = {
      threads: keys.map((own) => distinct.get(own) as Thread),
      canEnd,
      next: [],
      byThreads: new Map(),
    };
    this.#states.set(key, state);
    return state;
  }

  /** States in use keep what they know; equal ones may exist twice from now on. */
  #forget(): void {
    this.#states = new Map();
    this.#nThreads = 0;
    this.#bottom = new Map();
    if (this.#start !== undefined) this.#start = { ...this.#start, next: [], byThreads: new Map() };
  }

  #push(below: Frame | undefined, at: number, count: number): Frame {
    const above = below?.above ?? this.#bottom;
    const key = (count + 1) * this.#program.instructions.length + at;
    let frame = above.get(key);
    if (frame === undefined) {
      frame = { id: ++this.#nFrames, at, count, below, above: new Map() };
      above.set(key, frame);
    }
    return frame;
  }

  #step(n: number): void {
    this.#steps -= n;
    if (this.#steps < 0) throw this.#tooComplex();
  }

  #tooComplex() {
    return grammarProblem(
      this.#path,
      "there are too many ways to read the same text",
      "Write it with fewer nested repetitions and alternatives that match the same text.",
    );
  }
}

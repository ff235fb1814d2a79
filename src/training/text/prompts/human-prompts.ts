import { Random, Stream } from "../../random.ts";
import { NearDuplicates, wordsOf } from "./near-duplicates.ts";
import { type Prompt, type PromptList, userPrompt } from "./prompt.ts";

/** What two people wrote, turn by turn. */
export interface HumanConversation {
  readonly id: string;
  readonly turns: readonly string[];
}

/** Text that a task is about. */
export interface GivenText {
  readonly group: string;
  readonly text: string;
}

/** What conversations of people yield. */
export interface HumanText {
  /** First turns. */
  readonly openings: readonly Prompt[];
  /** Questions from the middle of a conversation. */
  readonly questions: readonly Prompt[];
  /** The turns of the person who began; the model answers in place of the other. */
  readonly chats: readonly Prompt[];
  readonly messages: readonly GivenText[];
  /** Whole conversations, "A: …" and "B: …" line by line. */
  readonly conversations: readonly GivenText[];
  /** Texts that were left out, by reason. */
  readonly nDropped: Readonly<Record<"short" | "long" | "repeated" | "address", number>>;
}

/** Words of a text: shorter ones are mostly greetings and reactions, longer ones rare. */
const limits = {
  opening: [3, 100],
  question: [5, 60],
  turn: [2, 80],
  message: [10, 80],
  conversation: [40, 200],
} as const;
const MAX_CHAT_TURNS = 3;
/** Turns of a conversation that is given as a whole. */
const CONVERSATION_TURNS = [4, 10] as const;
/** Addresses and long numbers are useless for training, and may be private. */
const ADDRESS = /https?:|www\.|\S@\S|\d{6,}/i;

/** Sorts what people wrote; of texts that are nearly the same the first is kept. */
export function humanText(conversations: readonly HumanConversation[]): HumanText {
  const openings: Prompt[] = [];
  const questions: Prompt[] = [];
  const chats: Prompt[] = [];
  const messages: GivenText[] = [];
  const whole: GivenText[] = [];
  const nDropped = { short: 0, long: 0, repeated: 0, address: 0 };
  const known = new NearDuplicates();
  const isNew = (text: string, range: readonly [number, number]): boolean => {
    const problem = problemOf(text, range) ?? (known.add(text) ? undefined : "repeated");
    if (problem !== undefined) nDropped[problem]++;
    return problem === undefined;
  };
  for (const { id, turns } of conversations) {
    const [first = ""] = turns;
    if (isNew(first, limits.opening)) openings.push(userPrompt(id, [first]));
    const userTurns = turns.filter((_, i) => i % 2 === 0).slice(0, MAX_CHAT_TURNS);
    if (userTurns.length > 1 && userTurns.every((turn) => problemOf(turn, limits.turn) === undefined))
      chats.push(userPrompt(id, userTurns));
    for (const turn of turns.slice(1)) {
      if (turn.includes("?") && isNew(turn, limits.question)) questions.push(userPrompt(id, [turn]));
      else if (problemOf(turn, limits.message) === undefined) messages.push({ group: id, text: turn });
    }
    const [min, max] = CONVERSATION_TURNS;
    const text = turns
      .slice(0, max)
      .map((turn, i) => `${i % 2 === 0 ? "A" : "B"}: ${turn}`)
      .join("\n");
    if (turns.length >= min && problemOf(text, limits.conversation) === undefined) whole.push({ group: id, text });
  }
  return { openings, questions, chats, messages, conversations: whole, nDropped };
}

function problemOf(text: string, [min, max]: readonly [number, number]): "short" | "long" | "address" | undefined {
  const { length } = wordsOf(text);
  if (length < min) return "short";
  if (length > max) return "long";
  return ADDRESS.test(text) ? "address" : undefined;
}

/** Of ten in a row: first turns, questions, chats. */
const wheel = [
  "openings",
  "questions",
  "chats",
  "questions",
  "openings",
  "questions",
  "chats",
  "questions",
  "openings",
  "questions",
] as const;

/** Prompts that people wrote, in an order of the seed. */
export class HumanPrompts implements PromptList {
  readonly #wheel: readonly (readonly Prompt[])[];

  constructor(seed: number, text: HumanText) {
    const shuffled = (kind: "openings" | "questions" | "chats", number: number) =>
      new Random(seed, Stream.prompts, 0, number).permutation(text[kind].length).map((i) => text[kind][i] as Prompt);
    const lists = {
      openings: shuffled("openings", 0),
      questions: shuffled("questions", 1),
      chats: shuffled("chats", 2),
    };
    this.#wheel = wheel.map((kind) => lists[kind]).filter((list) => list.length > 0);
  }

  at(n: number): Prompt {
    const slot = n % this.#wheel.length;
    const list = this.#wheel[slot] as readonly Prompt[];
    const share = this.#wheel.filter((other) => other === list).length;
    const nEarlier = this.#wheel.slice(0, slot).filter((other) => other === list).length;
    return list[(Math.floor(n / this.#wheel.length) * share + nEarlier) % list.length] as Prompt;
  }
}

import type { ChatMessage, Model, TextTokenizer } from "../../engine/types.ts";
import { IdlmError } from "../../errors.ts";

/** Contents without common first or last tokens. */
const PROBES = ["Yes", "the 7."] as const;

/** For templates with the date: the text must not depend on the day on which a run is resumed. */
const DATE = new Date("2024-07-26T12:00:00Z");

/** How the model's chat template lays out a chat. */
export class ChatFormat {
  readonly tokenizer: TextTokenizer;
  /** Up to where the user's first turn begins. */
  readonly questionOpening: readonly number[];
  /** Ends the user's turn. */
  readonly questionEnd: number | undefined;
  readonly #controlTokens: ReadonlySet<number>;

  private constructor(tokenizer: TextTokenizer, opening: readonly number[], closing: readonly number[]) {
    this.tokenizer = tokenizer;
    this.questionOpening = opening;
    this.questionEnd = closing[0];
    const isControl = (id: number) => tokenizer.encode(tokenizer.decode([id])).join() !== String(id);
    this.#controlTokens = new Set([...opening, ...closing].filter(isControl));
  }

  /** @throws IdlmError "usage" for a model without a tokenizer or a chat template. */
  static async of({ tokenizer, info }: Model): Promise<ChatFormat> {
    if (tokenizer === undefined) {
      const hint = "Training text is written as chats.";
      throw new IdlmError("usage", { problem: `${info.path} has no tokenizer`, hint });
    }
    const [first = [], second = []] = await Promise.all(
      PROBES.map((content) => tokenizer.encodeChat([{ role: "user", content }], { now: DATE })),
    );
    const nOpening = first.findIndex((id, i) => id !== second[i]);
    const nClosing = first.toReversed().findIndex((id, i) => id !== second.at(-1 - i));
    return new ChatFormat(tokenizer, first.slice(0, nOpening), nClosing > 0 ? first.slice(-nClosing) : []);
  }

  /** As of `TextTokenizer.encodeChat`. */
  encode(messages: readonly ChatMessage[]): Promise<number[]> {
    return this.tokenizer.encodeChat(messages, { now: DATE });
  }

  /** Whether a text contains tokens of the template, so that it would start turns of its own. */
  hasControlToken(tokens: readonly number[]): boolean {
    return tokens.some((token) => this.#controlTokens.has(token));
  }
}

import { Answer } from "./answer.ts";
import { type Conversation, isRecord, readConversation } from "./conversation.ts";

/** The part of the browser's storage that is used. */
export interface KeyValues {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

const PREFIX = "idlm.conversation.";
const DRAFT = "idlm.draft.";

/** Conversations in the browser's storage. Nothing leaves the machine. */
export class ConversationStorage {
  readonly #values: KeyValues;

  constructor(values: KeyValues) {
    this.#values = values;
  }

  /** All conversations, last changed first. Unreadable ones are left where they are. */
  load(): Conversation[] {
    return this.#keys()
      .flatMap((key) => parsed(this.#values.getItem(key)) ?? [])
      .sort((a, b) => b.changedAt - a.changedAt);
  }

  /**
   * Stores a conversation. If there is no room, the rounds of the oldest conversations are dropped, their texts are kept.
   * Returns whether it was stored.
   */
  save(conversation: Conversation): boolean {
    const text = JSON.stringify(conversation);
    if (this.#set(PREFIX + conversation.id, text)) return true;
    for (const old of this.load().reverse()) {
      if (old.id === conversation.id) continue;
      this.#set(PREFIX + old.id, JSON.stringify(withoutRounds(old)));
      if (this.#set(PREFIX + conversation.id, text)) return true;
    }
    return this.#set(PREFIX + conversation.id, JSON.stringify(withoutRounds(conversation)));
  }

  delete(id: string): void {
    this.#values.removeItem(PREFIX + id);
    this.#values.removeItem(DRAFT + id);
  }

  /** Text that was typed but not sent. */
  draft(id: string): string {
    return this.#values.getItem(DRAFT + id) ?? "";
  }

  saveDraft(id: string, text: string): void {
    if (text === "") this.#values.removeItem(DRAFT + id);
    else this.#set(DRAFT + id, text);
  }

  #set(key: string, value: string): boolean {
    try {
      this.#values.setItem(key, value);
      return true;
    } catch {
      // The quota is used up.
      return false;
    }
  }

  #keys(): string[] {
    return Array.from({ length: this.#values.length }, (_, i) => this.#values.key(i) ?? "").filter((key) =>
      key.startsWith(PREFIX),
    );
  }
}

function withoutRounds(conversation: Conversation): Conversation {
  const messages = conversation.messages.map((message) => {
    if (message.role !== "assistant") return message;
    const { rounds: _, logprobs: __, ...rest } = message.answer.toJSON();
    return { ...message, answer: Answer.from(rest) };
  });
  return { ...conversation, messages };
}

function parsed(text: string | null): Conversation | undefined {
  try {
    return readConversation(JSON.parse(text ?? "null"));
  } catch {
    return undefined;
  }
}

const FORMAT = "idlm-conversations";

/** The text of a file with conversations. */
export function exportText(conversations: readonly Conversation[]): string {
  return `${JSON.stringify({ format: FORMAT, version: 1, conversations }, undefined, 1)}\n`;
}

/** Conversations of a file. @throws Error that says what is wrong with it. */
export function importText(text: string): Conversation[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("The file is not JSON.");
  }
  if (!isRecord(value) || value.format !== FORMAT || !Array.isArray(value.conversations)) {
    throw new Error("The file was not exported by this page.");
  }
  const read = value.conversations.map(readConversation);
  const broken = read.indexOf(undefined);
  if (broken >= 0) throw new Error(`Conversation ${broken + 1} of the file is malformed.`);
  return read as Conversation[];
}

import { readFileSync } from "node:fs";
import { readJsonObject } from "../../../formats/files/json.ts";
import { malformed } from "../../../formats/files/malformed.ts";
import { type PackageOptions, type PackageWheel, withPackageFiles } from "../../../hub/index.ts";
import type { HumanConversation } from "./human-prompts.ts";

// Conversations of people in Python packages under free licences. Only their texts are used.

/** Chats of pairs of people about everyday questions; MIT licence. */
const chitchat: PackageWheel = {
  packageName: "chitchat-dataset",
  version: "0.9.0",
  fileName: "chitchat_dataset-0.9.0-py3-none-any.whl",
  nBytes: 8_105_664,
  sha256: "7bf89f36645e2d5ec87d53370c8e851b5a688479c7beb7079cb4c87fc5acea3e",
};
const CHITCHAT_MEMBER = "chitchat_dataset/dataset.json";
/** The file takes 40 MB and has fewer than a million values. */
const chitchatLimits = { maxBytes: 64 * 2 ** 20, maxValues: 5_000_000 };

/** Questions and short dialogues by subject; BSD licence. */
const chatterbot: PackageWheel = {
  packageName: "chatterbot-corpus",
  version: "1.3.3",
  fileName: "chatterbot_corpus-1.3.3-py2.py3-none-any.whl",
  nBytes: 345_706,
  sha256: "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154",
};
/** Left out: botprofile, which is about a certain program. */
const chatterbotSubjects = [
  ...["ai", "coding", "computers", "conversations", "emotion", "food", "gossip", "greetings", "health", "history"],
  ...[
    "humor",
    "literature",
    "money",
    "movies",
    "politics",
    "psychology",
    "science",
    "sports",
    "tech_support",
    "trivia",
  ],
];
const chatterbotMembers = chatterbotSubjects.map((subject) => `chatterbot_corpus/data/english/${subject}.yml`);

/** Conversations of both packages, which pip downloads into the cache first. Errors: those of `withPackageFiles`. */
export async function humanConversations(options: PackageOptions): Promise<readonly HumanConversation[]> {
  const chats = await withPackageFiles(chitchat, [CHITCHAT_MEMBER], options, ([path = ""]) => readChitchat(path));
  const dialogues = await withPackageFiles(chatterbot, chatterbotMembers, options, (paths) =>
    Promise.all(paths.map((path, i) => readChatterbot(path, chatterbotSubjects[i] as string))),
  );
  return [...chats, ...dialogues.flat()];
}

/** Reads {id: {messages: [[{text}, …], …]}}: a turn is what one person wrote before the other answered. */
export function readChitchat(path: string): HumanConversation[] {
  return Object.entries(readJsonObject(path, chitchatLimits)).map(([id, value]) => {
    const messages = (value as { readonly messages?: unknown } | null)?.messages;
    if (!isTurns(messages)) throw malformed(path, id, "messages: a list of turns", "something else");
    return { id: `chitchat/${id}`, turns: messages.map((turn) => tidy(turn.map(({ text }) => text).join(" "))) };
  });
}

function isTurns(value: unknown): value is readonly (readonly { readonly text: string }[])[] {
  const isMessage = (message: unknown) => typeof (message as { text?: unknown } | null)?.text === "string";
  return Array.isArray(value) && value.every((turn) => Array.isArray(turn) && turn.every(isMessage));
}

/** Reads {conversations: [[turn, …], …]}. Conversations that begin alike have one id: they are one question and its answers. */
export async function readChatterbot(path: string, subject: string): Promise<HumanConversation[]> {
  // Not before: no other command needs it.
  const { parse } = await import("yaml");
  let value: unknown;
  try {
    value = parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw malformed(path, "content", "YAML", error instanceof Error ? error.message : String(error));
  }
  const conversations = (value as { readonly conversations?: unknown } | null)?.conversations;
  if (!Array.isArray(conversations))
    throw malformed(path, "conversations", "a list of conversations", "something else");
  // Some entries are a single text, without an answer.
  return conversations.map((turns: unknown) => {
    const texts = (Array.isArray(turns) ? turns : [turns]).map((turn) => tidy(String(turn)));
    return { id: `chatterbot/${subject}/${texts[0]?.toLowerCase()}`, turns: texts };
  });
}

function tidy(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}

import { Answer, type StoredAnswer } from "./answer.ts";
import { defaultSettings, type Settings, toolChoice } from "./settings.ts";

/** A message of a conversation. Those of the assistant are answers; results of tools belong to a call of the answer before. */
export type Message =
  | { readonly role: "user"; readonly content: string }
  | { readonly role: "tool"; readonly content: string; readonly callId: string }
  | { readonly role: "assistant"; readonly answer: Answer };

export interface Conversation {
  readonly id: string;
  readonly title: string;
  /** Milliseconds since 1970. */
  readonly changedAt: number;
  readonly settings: Settings;
  readonly messages: readonly Message[];
}

/** Characters of the first message that become the title. */
const TITLE_LENGTH = 48;

export function newConversation(id: string, settings: Settings = defaultSettings, changedAt = 0): Conversation {
  return { id, title: "", changedAt, settings, messages: [] };
}

/** With further messages; the first one of the user names the conversation. */
export function withMessages(
  conversation: Conversation,
  messages: readonly Message[],
  changedAt: number,
): Conversation {
  const first = messages.find(({ role }) => role === "user");
  const text = first?.role === "user" ? first.content.replace(/\s+/g, " ").trim() : "";
  const title = text.length > TITLE_LENGTH ? `${text.slice(0, TITLE_LENGTH).trimEnd()}…` : text;
  return { ...conversation, messages, title: conversation.title || title, changedAt };
}

interface BodyOptions {
  readonly model: string;
  /** Overrides of the settings, by the key of the API. */
  readonly overrides?: Readonly<Record<string, unknown>>;
}

/** Rivals of each token that are recorded. */
const TOP_LOGPROBS = 5;

/** The body of the request that continues the messages. */
export function chatBody(messages: readonly Message[], settings: Settings, { model, overrides }: BodyOptions) {
  const { system, numbers, schema, tools, logprobs } = settings;
  const { [toolChoice.key]: choice, ...choices } = settings.choices;
  return {
    model,
    messages: [...(system.trim() === "" ? [] : [{ role: "system", content: system }]), ...messages.map(wireMessage)],
    ...numbers,
    ...choices,
    ...(schema.trim() !== "" && {
      response_format: {
        type: "json_schema",
        json_schema: { name: "answer", strict: true, schema: JSON.parse(schema) },
      },
    }),
    ...(tools.trim() !== "" && {
      tools: JSON.parse(tools) as unknown,
      ...(choice !== undefined && { [toolChoice.key]: choice }),
    }),
    ...(logprobs && { logprobs: true, top_logprobs: TOP_LOGPROBS }),
    stream: true,
    stream_options: { include_usage: true },
    idlm: { rounds: true },
    ...overrides,
  };
}

function wireMessage(message: Message) {
  if (message.role === "tool") return { role: "tool", tool_call_id: message.callId, content: message.content };
  if (message.role === "user") return message;
  const { content, toolCalls } = message.answer;
  const calls = toolCalls.map((call) => ({
    ...{ id: call.id, type: "function", function: { name: call.name, arguments: call.arguments } },
  }));
  return { role: "assistant", content, ...(calls.length > 0 && { tool_calls: calls }) };
}

/** The conversation in a JSON value; undefined if it is not one. Nothing is trusted: it may come from a file. */
export function readConversation(value: unknown): Conversation | undefined {
  if (!isRecord(value) || typeof value.id !== "string" || !Array.isArray(value.messages)) return undefined;
  const messages = value.messages.map(readMessage);
  if (messages.some((message) => message === undefined)) return undefined;
  const settings = isRecord(value.settings) ? value.settings : {};
  return {
    id: value.id,
    title: typeof value.title === "string" ? value.title : "",
    changedAt: typeof value.changedAt === "number" ? value.changedAt : 0,
    settings: readSettings(settings),
    messages: messages as Message[],
  };
}

function readMessage(value: unknown): Message | undefined {
  if (!isRecord(value)) return undefined;
  const { role, content, callId, answer } = value;
  if (role === "user" && typeof content === "string") return { role, content };
  if (role === "tool" && typeof content === "string" && typeof callId === "string") return { role, content, callId };
  if (role !== "assistant" || !isRecord(answer) || typeof answer.content !== "string") return undefined;
  try {
    return { role, answer: Answer.from(answer as unknown as StoredAnswer) };
  } catch {
    // Rounds in another form: the text alone is kept.
    return { role, answer: Answer.from({ status: "done", content: answer.content }) };
  }
}

function readSettings(value: Readonly<Record<string, unknown>>): Settings {
  const text = (key: string) => (typeof value[key] === "string" ? value[key] : "");
  const entries = (key: string, type: "number" | "string") =>
    Object.entries(isRecord(value[key]) ? value[key] : {}).filter(([, entry]) => typeof entry === type);
  return {
    ...{ system: text("system"), schema: text("schema"), tools: text("tools"), logprobs: value.logprobs !== false },
    numbers: Object.fromEntries(entries("numbers", "number")) as Record<string, number>,
    choices: Object.fromEntries(entries("choices", "string")) as Record<string, string>,
  };
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

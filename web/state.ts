import { computed, signal } from "@preact/signals";
import { type Connection, request } from "./api/client.ts";
import type { ServerState } from "./api/retry.ts";
import type { Answer } from "./conversation/answer.ts";
import { type Conversation, newConversation } from "./conversation/conversation.ts";
import { ConversationStorage, type KeyValues } from "./conversation/storage.ts";

/** rounds: beside the chat where there is room, a tab of its own on a phone. */
export type Tab = "chat" | "rounds" | "race" | "machine";
export const tab = signal<Tab>("chat");

/** Forgets everything when the page is closed; for browsers that forbid storage. */
function memory(): KeyValues {
  const values = new Map<string, string>();
  return {
    get length() {
      return values.size;
    },
    key: (i) => [...values.keys()][i] ?? null,
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => void values.set(key, value),
    removeItem: (key) => void values.delete(key),
  };
}

function storageOf(kind: "localStorage" | "sessionStorage"): KeyValues {
  try {
    return window[kind];
  } catch {
    return memory();
  }
}

const local = storageOf("localStorage");
const session = storageOf("sessionStorage");
export const storage = new ConversationStorage(local);

export const conversations = signal<readonly Conversation[]>(storage.load());
export const currentId = signal(conversations.value[0]?.id ?? newId());
export const current = computed(
  () =>
    conversations.value.find(({ id }) => id === currentId.value) ?? newConversation(currentId.value, lastSettings()),
);

export function newId(): string {
  return `${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}`;
}

function lastSettings() {
  return conversations.value[0]?.settings;
}

/** A message for the user that is not an error of a request: what could not be stored or imported. */
export const notice = signal("");

/** Shows a changed conversation and stores it. */
export function keep(conversation: Conversation): void {
  const others = conversations.value.filter(({ id }) => id !== conversation.id);
  conversations.value = [conversation, ...others].sort((a, b) => b.changedAt - a.changedAt);
  if (!storage.save(conversation)) notice.value = "The browser's storage is full: export or delete conversations.";
}

/** A choice that the browser remembers. */
export function remembered(key: string, initial: string) {
  const value = signal(local.getItem(`idlm.${key}`) ?? initial);
  value.subscribe((text) => {
    try {
      local.setItem(`idlm.${key}`, text);
    } catch {
      // Then it is not remembered.
    }
  });
  return value;
}

export const theme = remembered("theme", "auto");
const systemIsDark = window.matchMedia("(prefers-color-scheme: dark)");
const system = signal(systemIsDark.matches);
systemIsDark.addEventListener("change", ({ matches }) => {
  system.value = matches;
});
/** The colours in use: the theme, or the system's. */
export const look = computed(() => (theme.value === "auto" ? (system.value ? "dark" : "light") : theme.value));
// Before anything is drawn in its colours.
look.subscribe((chosen) => {
  document.documentElement.dataset.theme = chosen;
});
/** Whether tokens are coloured by source. */
export const showSources = remembered("sources", "yes");
/** Whether rejected proposals stand in the text, struck through. */
export const showRejected = remembered("rejected", "no");

/** The round that the panel shows: of an answer, by index; undefined: the last one. */
export const selection = signal<{ readonly answer: Answer | undefined; readonly round: number | undefined }>({
  answer: undefined,
  round: undefined,
});

/** Advances once per frame while an answer grows: what shows it reads this. */
export const frame = signal(0);
let isScheduled = false;

export function scheduleFrame(): void {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    frame.value++;
  });
}

export const server = signal<ServerState>({ kind: "ready" });
const KEY = "idlm.key";
export const apiKey = signal(session.getItem(KEY) ?? local.getItem(KEY) ?? "");
let keyWaiters: (() => void)[] = [];

export function connection(): Connection {
  return { url: "", key: apiKey.value, fetch: (input, init) => fetch(input, init) };
}

/** Resolves when the user has given a key. */
export function nextKey(signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    keyWaiters.push(resolve);
    signal.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")), { once: true });
  });
}

export function giveKey(key: string, isKept: boolean): void {
  apiKey.value = key;
  local.removeItem(KEY);
  session.setItem(KEY, key);
  if (isKept) local.setItem(KEY, key);
  server.value = { kind: "ready" };
  const waiters = keyWaiters;
  keyWaiters = [];
  for (const resolve of waiters) resolve();
}

export const models = signal<readonly string[]>([]);
export const model = remembered("model", "");

/** Learns the models of the server. Failures show in `server`. */
export async function loadModels(): Promise<void> {
  const response = await request(connection(), "/v1/models");
  const { data } = (await response.json()) as { readonly data: readonly { readonly id: string }[] };
  models.value = data.map(({ id }) => id);
  if (!models.value.includes(model.value)) model.value = models.value[0] ?? "";
}

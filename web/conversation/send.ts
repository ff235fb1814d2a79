import { signal } from "@preact/signals";
import { isAbort, streamChat } from "../api/client.ts";
import { persistently } from "../api/retry.ts";
import {
  connection,
  conversations,
  current,
  keep,
  loadModels,
  model,
  models,
  nextKey,
  scheduleFrame,
  selection,
  server,
} from "../state.ts";
import { Answer } from "./answer.ts";
import { type Conversation, chatBody, type Message, withMessages } from "./conversation.ts";
import type { Settings } from "./settings.ts";

/** What runs, by the id of its conversation. */
export const running = signal<ReadonlyMap<string, AbortController>>(new Map());

/** Ends the answer of a conversation; what has arrived is kept. */
export function stop(id: string): void {
  running.value.get(id)?.abort();
}

/** Adds messages to the current conversation and asks for the answer. */
export function send(messages: readonly Message[]): Promise<void> {
  return answerAfter(current.value, [...current.value.messages, ...messages]);
}

/** Replaces message `index` and all that follow, and asks for the answer. */
export function resend(index: number, replacement: readonly Message[], settings?: Settings): Promise<void> {
  const conversation = settings ? { ...current.value, settings } : current.value;
  return answerAfter(conversation, [...conversation.messages.slice(0, index), ...replacement]);
}

async function answerAfter(conversation: Conversation, messages: readonly Message[]): Promise<void> {
  const { id, settings } = conversation;
  if (running.value.has(id)) return;
  const controller = new AbortController();
  running.value = new Map(running.value).set(id, controller);
  let answer = new Answer();
  const show = (next: Answer) => {
    answer = next;
    keep(withMessages(conversation, [...messages, { role: "assistant", answer }], Date.now()));
    selection.value = { answer, round: undefined };
  };
  show(answer);
  try {
    await persistently(
      async (to) => {
        if (models.value.length === 0) await loadModels();
        // The server was away: its answer begins again, with the same bytes.
        if (answer.status !== "waiting") show(new Answer());
        const body = chatBody(messages, settings, { model: model.value });
        for await (const chunk of streamChat(to, body, controller.signal)) {
          answer.apply(chunk);
          scheduleFrame();
        }
      },
      {
        signal: controller.signal,
        connection,
        nextKey,
        onState: (state) => {
          server.value = state;
        },
      },
    );
    answer.end("done");
  } catch (error) {
    if (isAbort(error)) answer.end("stopped");
    else answer.end("failed", error instanceof Error ? error.message : String(error));
  } finally {
    const rest = new Map(running.value);
    rest.delete(id);
    running.value = rest;
    const stored = conversations.value.find((one) => one.id === id);
    // Deleted while it ran: it stays so.
    if (stored !== undefined) keep({ ...stored, changedAt: Date.now() });
    scheduleFrame();
  }
}

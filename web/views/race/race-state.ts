import { signal } from "@preact/signals";
import { isAbort, streamChat } from "../../api/client.ts";
import { persistently } from "../../api/retry.ts";
import { chatBody, type Message } from "../../conversation/conversation.ts";
import { defaultSettings, type Settings } from "../../conversation/settings.ts";
import { addChunk, finishLap, newRace, type Race, type Side, sha256, startLap, stopRace } from "../../race/race.ts";
import { connection, loadModels, model, models, nextKey, server, tab } from "../../state.ts";

export interface RacePlan {
  /** The last one is the question that the page shows. */
  readonly messages: readonly Message[];
  readonly settings: Settings;
  /** Laps of each side. */
  readonly rounds: number;
}

const QUESTION = "Give me three tips for staying healthy.";

export const plan = signal<RacePlan>({
  messages: [{ role: "user", content: QUESTION }],
  settings: { ...defaultSettings, logprobs: false, numbers: { temperature: 0, max_completion_tokens: 160 } },
  rounds: 1,
});
export const race = signal<Race>(newRace(1));
let controller = new AbortController();

/** Opens the race with the question of an answer. */
export function raceOf(messages: readonly Message[], settings: Settings): void {
  stopRunning();
  plan.value = { ...plan.value, messages, settings: { ...settings, logprobs: false } };
  race.value = newRace(plan.value.rounds);
  tab.value = "race";
}

export function stopRunning(): void {
  controller.abort();
}

/** Chunks change the race at once, and the page once per frame. */
let pending: Race | undefined;

function show(next: Race): void {
  if (pending === undefined) {
    requestAnimationFrame(() => {
      if (pending !== undefined) race.value = pending;
      pending = undefined;
    });
  }
  pending = next;
}

const overrides: Readonly<Record<Side, Readonly<Record<string, unknown>>>> = {
  // What belongs to proposals would be refused without them.
  plain: { propose: "none", shape: undefined, stride: undefined, verify: undefined, tau: undefined },
  proposing: {},
};

/** Runs both sides by turns, each alone. */
export async function startRace(): Promise<void> {
  controller.abort();
  controller = new AbortController();
  const { signal: stopped } = controller;
  const { messages, settings, rounds } = plan.value;
  let state = newRace(rounds);
  try {
    for (let next = startLap(state); next !== undefined; next = startLap(state)) {
      state = next;
      const side = state.order[state.laps.length - 1] ?? "plain";
      await persistently(
        async (to) => {
          if (models.value.length === 0) await loadModels();
          state = startLap(state) ?? state;
          const body = chatBody(messages, settings, { model: model.value, overrides: overrides[side] });
          for await (const chunk of streamChat(to, body, stopped)) {
            state = addChunk(state, chunk, performance.now());
            show(state);
          }
        },
        {
          signal: stopped,
          connection,
          nextKey,
          onState: (found) => {
            server.value = found;
          },
        },
      );
      state = finishLap(state, await sha256(state.laps.at(-1)?.text ?? ""));
      show(state);
    }
  } catch (error) {
    // Another race may have begun.
    if (controller.signal !== stopped) return;
    const problem = isAbort(error) ? undefined : error instanceof Error ? error.message : String(error);
    show(stopRace(state, problem));
  }
}

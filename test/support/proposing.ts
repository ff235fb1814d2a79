import type { Decoder } from "../../src/decoding/round/decoder.ts";
import { type Proposing, proposeTogether } from "../../src/decoding/round/proposing.ts";

/** Result of a computation that needs no proposals from a model. */
export function resultOf<T>(proposing: Proposing<T>): T {
  const step = proposing.next([]);
  if (!step.done) throw new Error("a model was asked");
  return step.value;
}

/** Chooses the next rounds of several decoders. */
export async function chooseRounds(decoders: readonly Decoder[], signal?: AbortSignal): Promise<void> {
  await Promise.all(decoders.map((decoder) => decoder.prepare(signal)));
  const fail = (error: unknown): never => {
    throw error;
  };
  await proposeTogether(
    decoders.map((decoder) => ({ proposing: decoder.choose(), result: decoder.latestResult, fail })),
  );
}

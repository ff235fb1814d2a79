import type { Controller } from "../../src/decoding/controller/controller.ts";
import type { Decoder } from "../../src/decoding/round/decoder.ts";
import { type Proposing, proposeTogether } from "../../src/decoding/round/proposing.ts";

/** Result of a computation that needs no proposals from a model. */
export function resultOf<T>(proposing: Proposing<T>): T {
  const step = proposing.next([]);
  if (!step.done) throw new Error("a model was asked");
  return step.value;
}

/** Plans and chooses the next rounds of several decoders; `controller`: if their planners are its own. */
export async function chooseRounds(
  decoders: readonly Decoder[],
  signal?: AbortSignal,
  controller?: Pick<Controller, "chooseRounds">,
): Promise<void> {
  await Promise.all(decoders.map((decoder) => decoder.prepare(signal)));
  const fail = (error: unknown): never => {
    throw error;
  };
  await proposeTogether(
    decoders.map((decoder) => ({ proposing: decoder.propose(), result: decoder.latestResult, fail })),
  );
  controller?.chooseRounds();
  for (const decoder of decoders) decoder.takeRound();
}

import type { Generation, GenerationPart, Model } from "../../src/engine/types.ts";
import { answerOfDeltas } from "./answer-events.ts";

/** A model that generates a given text, a few characters at a time, whatever it is asked. */
export function scriptedModel(model: Model, text: string): Model {
  const generate = (): Generation => {
    const { answer } = answerOfDeltas([{ kind: "text", text }]);
    const [result] = answer.results;
    if (result === undefined) throw new Error("an answer without a result");
    const pieces = text.match(/[\s\S]{1,3}/g) ?? [];
    async function* parts(): AsyncGenerator<GenerationPart> {
      for (const piece of pieces) yield { text: piece, tokens: [0] };
    }
    return {
      ...{ promptIds: Promise.resolve([0, 1]), promptLogprobs: Promise.resolve([]), result: Promise.resolve(result) },
      [Symbol.asyncIterator]: parts,
    };
  };
  const { info, tokenizer } = model;
  return { ...{ info, tokenizer, generate }, dispose: async () => {} } as unknown as Model;
}

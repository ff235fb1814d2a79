import fc from "fast-check";
import type { Answer, AnswerEvent, AnsweredChoice, MessageDelta } from "../../src/answer/types.ts";
import type { GenerationResult } from "../../src/engine/types.ts";

/** Parts of a message: reasoning, text and calls, in any order, in pieces. */
const pieces = fc.array(fc.string({ unit: "grapheme", maxLength: 6 }), { minLength: 1, maxLength: 4 });
const call = fc.record({ name: fc.constantFrom("add", "get_weather"), pieces });
const part = fc.oneof(
  pieces.map((texts) => texts.map((text) => ({ kind: "text" as const, text }))),
  pieces.map((texts) => texts.map((text) => ({ kind: "reasoning" as const, text }))),
  call,
);

/** Deltas of a message, as an answer has them. */
export const messageDeltas: fc.Arbitrary<readonly MessageDelta[]> = fc.array(part, { maxLength: 6 }).map((parts) => {
  let nCalls = 0;
  return parts.flatMap((one): MessageDelta[] => {
    if (Array.isArray(one)) return one;
    const index = nCalls++;
    const json = JSON.stringify({ text: one.pieces.join("") });
    const middle = Math.floor(json.length / 2);
    return [
      { kind: "tool-call", index, id: `call_${index}`, name: one.name },
      { kind: "tool-arguments", index, text: json.slice(0, middle) },
      { kind: "tool-arguments", index, text: json.slice(middle) },
    ];
  });
});

type Ending = Pick<AnsweredChoice, "finishReason"> & Partial<Pick<GenerationResult, "stopString" | "endToken">>;

/** The events of an answer with one completion, and the answer. */
export function answerOfDeltas(deltas: readonly MessageDelta[], ending: Ending = { finishReason: "stop" }) {
  const { finishReason, stopString, endToken } = ending;
  const joined = (kind: "text" | "reasoning") => deltas.map((one) => (one.kind === kind ? one.text : "")).join("");
  const toolCalls = deltas.flatMap((one) => {
    if (one.kind !== "tool-call") return [];
    const text = deltas.map((other) =>
      other.kind === "tool-arguments" && other.index === one.index ? other.text : "",
    );
    return [{ id: one.id, name: one.name, arguments: text.join("") }];
  });
  const text = joined("text");
  const result: GenerationResult = {
    ...{ text, tokens: [5, 6, 7], sha256: "00", finishReason: finishReason === "tool_calls" ? "stop" : finishReason },
    ...{ forwards: 2, tokensPerForward: 1.5, proposedByDepth: [], acceptedByDepth: [], acceptanceByDepth: [] },
    ...{ rounds: [], prefillMs: 4, decodeMs: 6, promptTokens: 9, cachedTokens: 2, stride: 1, propose: "none" },
    ...{ shape: "plain", verify: "exact", instructionSet: "scalar", threads: 1, numerics: 1, lossless: true },
    ...(stopString !== undefined && { stopString }),
    ...(endToken !== undefined && { endToken }),
  };
  const reasoning = deltas.some(({ kind }) => kind === "reasoning") ? joined("reasoning") : undefined;
  const choice: AnsweredChoice = { index: 0, prompt: 0, completion: result, text, reasoning, toolCalls, finishReason };
  const answer: Answer = { results: [result], choices: [choice] };
  const end: AnswerEvent = {
    ...{ choice: 0, kind: "end", finishReason },
    ...(stopString !== undefined && { stop: stopString }),
    ...(endToken !== undefined && { endToken }),
  };
  const start: AnswerEvent = { choice: 0, kind: "start", prompt: 0, promptTokens: 9, cachedTokens: 2 };
  const events: AnswerEvent[] = deltas.map((delta) => ({ ...delta, choice: 0 }));
  return { answer, events: [start, ...events, end] };
}

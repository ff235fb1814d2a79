import fc from "fast-check";
import { ResponseStream } from "openai/lib/responses/ResponseStream";
import { describe, expect, it } from "vitest";
import { answerOfDeltas, messageDeltas } from "../../../test/support/answer-events.ts";
import type { MessageDelta } from "../../answer/types.ts";
import { readResponsesRequest } from "./request.ts";
import { ResponseBuilder, type ResponsesEvent } from "./response.ts";

const context = { id: "1", model: "m", created: 7, tokenizer: undefined };

function run(deltas: readonly MessageDelta[], ending?: Parameters<typeof answerOfDeltas>[1]) {
  const { events, answer } = answerOfDeltas(deltas, ending);
  const request = readResponsesRequest(
    { model: "m", input: "hi", unknown: 1 },
    { conversation: () => undefined, item: () => undefined },
  );
  const builder = new ResponseBuilder(request, context);
  const streamed = [...events.flatMap((event) => builder.push(event)), ...builder.end(answer)];
  return { streamed, body: { ...builder.body(answer), completed_at: 0 } as { readonly output?: unknown } };
}

/** What the official client makes of a stream. */
async function accumulated(streamed: readonly ResponsesEvent[]) {
  const lines = streamed.map(({ data }) => `${JSON.stringify(data)}\n`).join("");
  const stream = ResponseStream.fromReadableStream(new Response(lines).body as never);
  return await stream.finalResponse();
}

describe("ResponseBuilder", () => {
  it("streams the response that it writes unstreamed", () => {
    fc.assert(
      fc.property(messageDeltas, fc.constantFrom("stop" as const, "length" as const), (deltas, finishReason) => {
        const { streamed, body } = run(deltas, { finishReason });
        const output: Record<string, unknown>[] = [];
        for (const [i, { event, data }] of streamed.entries()) {
          expect([data.type, data.sequence_number]).toEqual([event, i]);
          const item = output[data.output_index as number];
          if (event === "response.output_item.added") output.push({ ...(data.item as object), deltas: "" });
          else if (event.endsWith(".delta") && item !== undefined) {
            item.deltas = `${String(item.deltas)}${String(data.delta)}`;
            expect(data.item_id).toBe(item.id);
          } else if (event === "response.output_item.done") {
            expect((data.item as { id: string }).id).toBe(item?.id);
            output[data.output_index as number] = { ...(data.item as object), deltas: item?.deltas };
          }
        }
        for (const one of output) {
          const { type, deltas: joined } = one;
          const content = one.content as { text: string }[];
          expect(joined).toBe(type === "function_call" ? one.arguments : content[0]?.text);
        }
        expect(output.map(({ deltas: _, ...item }) => item)).toEqual(body.output);
        const final = streamed.at(-1)?.data.response as object;
        expect({ ...final, completed_at: 0 }).toEqual(body);
      }),
      { numRuns: 50 },
    );
  });

  it("is read by the official client", async () => {
    const { streamed, body } = run(
      [
        { kind: "reasoning", text: "hm" },
        { kind: "text", text: "I " },
        { kind: "text", text: "look." },
        { kind: "tool-call", index: 0, id: "call_1", name: "add" },
        { kind: "tool-arguments", index: 0, text: '{"a":1}' },
      ],
      { finishReason: "tool_calls" },
    );
    const client = await accumulated(streamed);
    expect(client).toMatchObject({ id: "resp_1", status: "completed", output_text: "I look.", output_parsed: null });
    expect(client.output).toMatchObject(body.output as object[]);
    expect(body).toMatchObject({
      ...{ id: "resp_1", object: "response", created_at: 7, model: "m", temperature: 1, store: true },
      output: [
        { id: "rs_10", type: "reasoning", content: [{ type: "reasoning_text", text: "hm" }] },
        { id: "msg_11", type: "message", content: [{ type: "output_text", text: "I look.", annotations: [] }] },
        {
          id: "fc_12",
          type: "function_call",
          call_id: "call_1",
          name: "add",
          arguments: '{"a":1}',
          status: "completed",
        },
      ],
      usage: { input_tokens: 9, input_tokens_details: { cached_tokens: 2 }, output_tokens: 3, total_tokens: 12 },
      idlm: { verify: "exact", lossless: true, ignored: ["unknown"] },
    });
  });

  it("is incomplete where it was cut off", () => {
    const { streamed, body } = run([{ kind: "text", text: "a" }], { finishReason: "length" });
    expect(streamed.at(-1)?.event).toBe("response.incomplete");
    expect(body).toMatchObject({
      ...{ status: "incomplete", incomplete_details: { reason: "max_output_tokens" } },
      output: [{ status: "incomplete" }],
    });
  });
});

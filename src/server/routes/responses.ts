import { createRoute, z } from "@hono/zod-openapi";
import type { Answer } from "../../answer/types.ts";
import { joined } from "../../apis/responses/input-items.ts";
import { type ResponsesRequest, readResponsesRequest } from "../../apis/responses/request.ts";
import { ResponseBuilder, type ResponsesEvent } from "../../apis/responses/response.ts";
import { StoredResponses } from "../../apis/responses/stored-responses.ts";
import { wrongKey } from "../../engine/request/request-values.ts";
import type { ChatMessage } from "../../engine/types.ts";
import { IdlmError } from "../../errors.ts";
import { startAnswer, wholeAnswer } from "../answering.ts";
import type { AddRoutes } from "../context.ts";
import type { Exchange } from "../exchange.ts";
import { modelOrFirst, requiredModel, type ServedModel } from "../models/models.ts";
import { addRoute } from "../route.ts";
import { eventStream, namedEvent, sendStream } from "../stream.ts";
import { postRoute } from "./post-route.ts";

/** OpenAI's Responses API. */
export const addResponsesRoutes: AddRoutes = (app, { models }) => {
  const stored = new StoredResponses();
  const read = async (exchange: Exchange, nameOf: (model: unknown) => string | undefined) => {
    const request = readResponsesRequest(await exchange.json(), {
      conversation: (id) => stored.conversation(id, exchange.share),
      item: (id) => stored.item(id, exchange.share),
    });
    exchange.names = request.answer.names;
    return { request, name: nameOf(request.model) };
  };
  // The second is llama-server's.
  for (const [path, nameOf] of [["/v1/responses", requiredModel] as const, ["/responses", modelOrFirst] as const]) {
    addRoute(app, postRoute(path, "the response"), async (exchange) => {
      const { request, name } = await read(exchange, nameOf);
      await models.use(name, exchange.signal, (served) => respond(exchange, request, served, stored));
    });
    addRoute(app, postRoute(`${path}/input_tokens`, "tokens of the prompt"), async (exchange) => {
      const { request, name } = await read(exchange, nameOf);
      await models.use(name, exchange.signal, async ({ model }) => {
        const ids = await model.promptIds(request.answer.requests[0] ?? {});
        exchange.send(200, { object: "response.input_tokens", input_tokens: ids.length });
      });
    });
  }
  // Clients of the open form of this API expect 404 where there is no compaction, not 501.
  app.all("/v1/responses/compact", (c) => {
    throw new IdlmError("path-not-found", { path: c.req.path });
  });
  addRoute(app, storedRoute("get", "a stored response"), (exchange, { id = "" }) => {
    if (/[?&]stream=true\b/.test(exchange.incoming.url ?? "")) {
      throw wrongKey("stream", "a stored response is not streamed again", "Leave it out.");
    }
    const found = stored.get(id, exchange.share);
    if (found === undefined) throw new IdlmError("response-not-found", { id });
    exchange.send(200, found.response);
  });
  addRoute(app, storedRoute("delete", "it is deleted"), (exchange, { id = "" }) => {
    if (!stored.delete(id, exchange.share)) throw new IdlmError("response-not-found", { id });
    exchange.send(200, { id, object: "response", deleted: true });
  });
};

async function respond(
  exchange: Exchange,
  request: ResponsesRequest,
  served: ServedModel,
  stored: StoredResponses,
): Promise<void> {
  const created = Math.floor(Date.now() / 1000);
  const context = { id: exchange.id, model: served.name, created, tokenizer: served.model.tokenizer };
  const builder = new ResponseBuilder(request, context);
  const running = startAnswer(exchange, served, { ...request.answer, id: exchange.id });
  const keep = (answer: Answer) => {
    if (!request.store) return;
    const messages = joined([...request.input, ...writtenMessages(answer)]);
    const response = builder.body(answer);
    stored.add({ response, messages, previous: request.previous, owner: exchange.share });
  };
  if (!request.stream) {
    for await (const events of running.events) for (const event of events) builder.push(event);
    const answer = await wholeAnswer(exchange, running);
    keep(answer);
    exchange.send(200, builder.body(answer));
    return;
  }
  await sendStream(exchange, eventStream, running.events, {
    write: (events) => written(events.flatMap((event) => builder.push(event))),
    end: async () => {
      const answer = await wholeAnswer(exchange, running);
      keep(answer);
      return written(builder.end(answer));
    },
    failed: (error) => written(builder.failed(messageOf(exchange, error))),
  });
}

function written(events: readonly ResponsesEvent[]): string {
  return events.map(({ event, data }) => namedEvent(event, data)).join("");
}

/** What later responses continue. */
function writtenMessages({ choices }: Answer): readonly ChatMessage[] {
  return choices.map(({ text, reasoning, toolCalls }) => ({
    ...{ role: "assistant", content: text },
    ...(reasoning !== undefined && { reasoning }),
    ...(toolCalls.length > 0 && { toolCalls }),
  }));
}

function messageOf(exchange: Exchange, error: unknown): string {
  const { body } = exchange.errorOf(error) as { readonly body: { readonly error: { readonly message: string } } };
  return body.error.message;
}

function storedRoute(method: "get" | "delete", description: string) {
  return createRoute({
    ...{ method, path: "/v1/responses/{id}" },
    request: { params: z.object({ id: z.string() }) },
    responses: { 200: { content: { "application/json": { schema: z.looseObject({}) } }, description } },
  });
}

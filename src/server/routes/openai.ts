import { createRoute, z } from "@hono/zod-openapi";
import { Body } from "../../apis/body.ts";
import { type Endpoint, endpoints, readOpenAiRequest } from "../../apis/openai/request.ts";
import { openAiResponse } from "../../apis/openai/response.ts";
import { OpenAiStream } from "../../apis/openai/stream.ts";
import { startAnswer, wholeAnswer } from "../answering.ts";
import type { AddRoutes } from "../context.ts";
import type { Exchange } from "../exchange.ts";
import { modelOrFirst, requiredModel, type ServedModel } from "../models/models.ts";
import { addRoute } from "../route.ts";
import { dataEvent, eventStream, sendStream } from "../stream.ts";
import { bodySchemas, responseSchemas } from "./openai-schemas.ts";
import { postRoute } from "./post-route.ts";

/** Chat and completions of the OpenAI API. */
export const addOpenAiRoutes: AddRoutes = (app, { models }) => {
  const add = (path: string, endpoint: Endpoint, nameOf: (model: unknown) => string | undefined) =>
    addRoute(app, routeOf(path, endpoint), async (exchange) => {
      const json = await exchange.json();
      const name = nameOf(new Body(json).take("model"));
      await models.use(name, exchange.signal, (served) => respond(exchange, endpoint, json, served));
    });
  for (const [path, endpoint] of Object.entries(endpoints)) add(path, endpoint, requiredModel);
  // llama-server's path; its /completions has a form of its own.
  add("/chat/completions", "chat", modelOrFirst);
  for (const [path, nameOf] of [["/v1", requiredModel] as const, ["", modelOrFirst] as const]) {
    const route = postRoute(`${path}/chat/completions/input_tokens`, "tokens of the prompt");
    addRoute(app, route, async (exchange) => {
      const json = await exchange.json();
      const { requests, names } = readOpenAiRequest("chat", json);
      exchange.names = names;
      const name = nameOf(new Body(json).take("model"));
      await models.use(name, exchange.signal, async ({ model }) => {
        const ids = await model.promptIds(requests[0] ?? {});
        exchange.send(200, { object: "response.input_tokens", input_tokens: ids.length });
      });
    });
  }
};

async function respond(exchange: Exchange, endpoint: Endpoint, json: unknown, served: ServedModel): Promise<void> {
  const request = readOpenAiRequest(endpoint, json);
  const { tokenizer, info } = served.model;
  const created = Math.floor(Date.now() / 1000);
  const context = { id: exchange.id, model: served.name, created, tokenizer, numerics: info.backend.numerics };
  const running = startAnswer(exchange, served, request);
  if (!request.stream) {
    exchange.send(200, openAiResponse(request, await wholeAnswer(exchange, running), context));
    return;
  }
  const stream = new OpenAiStream(request, context);
  await sendStream(exchange, eventStream, running.events, {
    write: (events) =>
      events
        .flatMap((event) => stream.push(event))
        .map(dataEvent)
        .join(""),
    end: async () => [...stream.end(await running.done), "[DONE]"].map(dataEvent).join(""),
    failed: (error) => dataEvent(exchange.errorOf(error).body),
  });
}

function routeOf(path: string, endpoint: Endpoint) {
  const events = { schema: z.string().describe("Server-sent events, if stream is true.") };
  return createRoute({
    method: "post",
    path,
    request: { body: { required: true, content: { "application/json": { schema: bodySchemas[endpoint] } } } },
    responses: {
      200: {
        content: { "application/json": { schema: responseSchemas[endpoint] }, [eventStream]: events },
        description: "The answer.",
      },
    },
  });
}

import { z } from "@hono/zod-openapi";
import { type MessagesRequest, readMessagesRequest } from "../../apis/anthropic/request.ts";
import { MessageBuilder, type MessagesEvent } from "../../apis/anthropic/response.ts";
import { startAnswer, wholeAnswer } from "../answering.ts";
import type { AddRoutes } from "../context.ts";
import type { Exchange } from "../exchange.ts";
import { requiredModel, type ServedModel } from "../models/models.ts";
import { addRoute } from "../route.ts";
import { eventStream, namedEvent, sendStream } from "../stream.ts";
import { postRoute } from "./post-route.ts";

/** Anthropic's Messages API. */
export const addAnthropicRoutes: AddRoutes = (app, { models }) => {
  addRoute(app, postRoute("/v1/messages", "the message", keys), async (exchange) => {
    const request = readMessagesRequest(await exchange.json());
    await models.use(requiredModel(request.model), exchange.signal, (served) => respond(exchange, request, served));
  });
  addRoute(app, postRoute("/v1/messages/count_tokens", "tokens of the prompt"), async (exchange) => {
    const { answer, model } = readMessagesRequest(await exchange.json(), true);
    exchange.names = answer.names;
    await models.use(requiredModel(model), exchange.signal, async (served) => {
      const [request = {}] = answer.requests;
      const ids = await served.model.promptIds(request);
      exchange.send(200, { input_tokens: ids.length });
    });
  });
};

const keys = { model: z.string(), max_tokens: z.number(), messages: z.array(z.looseObject({})) };

async function respond(exchange: Exchange, request: MessagesRequest, served: ServedModel): Promise<void> {
  const builder = new MessageBuilder({ id: exchange.id, model: served.name, asked: request.answer });
  exchange.outgoing.setHeader("request-id", exchange.id);
  const running = startAnswer(exchange, served, { ...request.answer, id: exchange.id });
  if (!request.stream) {
    for await (const events of running.events) for (const event of events) builder.push(event);
    exchange.send(200, builder.body(await wholeAnswer(exchange, running)));
    return;
  }
  const written = (all: readonly MessagesEvent[]) => all.map(({ event, data }) => namedEvent(event, data)).join("");
  await sendStream(exchange, eventStream, running.events, {
    write: (events) => written(events.flatMap((event) => builder.push(event))),
    end: async () => written(builder.end(await wholeAnswer(exchange, running))),
    failed: (error) => namedEvent("error", exchange.errorOf(error).body),
  });
}

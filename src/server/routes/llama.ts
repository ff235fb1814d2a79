import { z } from "@hono/zod-openapi";
import { type LlamaRequest, readLlamaRequest } from "../../apis/llama/request.ts";
import { LlamaBuilder } from "../../apis/llama/response.ts";
import {
  readDetokenizeRequest,
  readTemplateRequest,
  readTokenizeRequest,
  tokenize,
  tokenizeBody,
} from "../../apis/llama/tokenize.ts";
import { usage, wrongKey } from "../../engine/request/request-values.ts";
import type { Model } from "../../engine/types.ts";
import { startAnswer, wholeAnswer } from "../answering.ts";
import type { AddRoutes } from "../context.ts";
import type { Exchange } from "../exchange.ts";
import type { ServedModel } from "../models/models.ts";
import { addRoute } from "../route.ts";
import { dataEvent, eventStream, sendStream } from "../stream.ts";
import { postRoute } from "./post-route.ts";

/** llama-server's own endpoints. Its clients name no model, since it has one: the first one answers. */
export const addLlamaRoutes: AddRoutes = (app, { models }) => {
  for (const path of ["/completion", "/completions"]) {
    addRoute(app, postRoute(path, "the completion", { prompt: z.unknown() }), async (exchange) => {
      const request = readLlamaRequest(await exchange.json());
      await models.use(request.model, exchange.signal, (served) => respond(exchange, request, served));
    });
  }
  addRoute(app, postRoute("/tokenize", "ids of a text", { content: z.string().optional() }), async (exchange) => {
    const request = readTokenizeRequest(await exchange.json());
    await models.use(request.model, exchange.signal, async ({ model }) => {
      const { options } = request;
      const ids =
        "text" in request ? tokenize(request.text, tokenizerOf(model), options) : await model.promptIds(request.chat);
      exchange.send(200, tokenizeBody(ids, model.tokenizer, options, model.info.contextLength));
    });
  });
  addRoute(app, postRoute("/detokenize", "text of ids", { tokens: z.array(z.number()) }), async (exchange) => {
    const { model: name, ids } = readDetokenizeRequest(await exchange.json());
    await models.use(name, exchange.signal, async ({ model }) => {
      const wrong = ids.findIndex((id) => id >= model.info.vocabSize);
      if (wrong >= 0) throw wrongKey(`tokens[${wrong}]`, `expected an id below ${model.info.vocabSize}`);
      const content = model.detokenize(ids);
      // vLLM's clients look for `prompt`.
      exchange.send(200, { content, prompt: content });
    });
  });
  const messages = { messages: z.array(z.looseObject({})) };
  addRoute(app, postRoute("/apply-template", "the prompt of a conversation", messages), async (exchange) => {
    const { model: name, chat } = readTemplateRequest(await exchange.json());
    await models.use(name, exchange.signal, async ({ model }) => {
      exchange.send(200, { prompt: model.detokenize(await model.promptIds(chat)) });
    });
  });
};

function tokenizerOf({ tokenizer }: Model) {
  if (tokenizer === undefined) throw usage("the model has no tokenizer");
  return tokenizer;
}

async function respond(exchange: Exchange, request: LlamaRequest, served: ServedModel): Promise<void> {
  const { model, name } = served;
  const answer = request.answer(model.tokenizer);
  const builder = new LlamaBuilder(request, {
    model: name,
    contextLength: model.info.contextLength,
    tokenizer: model.tokenizer,
    prompts: answer.requests.map(({ ids }) => ids ?? []),
    detokenize: (ids) => model.detokenize(ids),
    asked: answer,
  });
  const running = startAnswer(exchange, served, answer);
  if (!request.stream) {
    exchange.send(200, builder.body(await wholeAnswer(exchange, running)));
    return;
  }
  await sendStream(exchange, eventStream, running.events, {
    write: (events) =>
      events
        .flatMap((event) => builder.push(event))
        .map(dataEvent)
        .join(""),
    end: async () =>
      builder
        .end(await wholeAnswer(exchange, running))
        .map(dataEvent)
        .join(""),
    failed: (error) => dataEvent(exchange.errorOf(error).body),
  });
}

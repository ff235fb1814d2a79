import { createRoute, z } from "@hono/zod-openapi";
import packageJson from "../../../package.json" with { type: "json" };
import type { AnswerRequest } from "../../answer/types.ts";
import { Body } from "../../apis/body.ts";
import { listedModel, OLLAMA_API_VERSION, runningModel, shownModel } from "../../apis/ollama/models.ts";
import { type OllamaEndpoint, type OllamaRequest, readOllamaRequest } from "../../apis/ollama/request.ts";
import { OllamaBuilder } from "../../apis/ollama/response.ts";
import type { TextTokenizer } from "../../engine/types.ts";
import { startAnswer, wholeAnswer } from "../answering.ts";
import type { AddRoutes } from "../context.ts";
import type { Exchange } from "../exchange.ts";
import { type ModelDescription, requiredModel, type ServedModel } from "../models/models.ts";
import { addRoute } from "../route.ts";
import { jsonLines, sendStream } from "../stream.ts";
import { postRoute } from "./post-route.ts";

const endpoints: readonly OllamaEndpoint[] = ["chat", "generate"];

/** Ollama's API. */
export const addOllamaRoutes: AddRoutes = (app, { models }) => {
  const contextOf = (name: string | undefined) => models.find(name ?? "")?.model?.info.contextLength;
  for (const endpoint of endpoints) {
    addRoute(app, postRoute(`/api/${endpoint}`, "the answer, as lines of JSON if streamed"), async (exchange) => {
      const request = readOllamaRequest(endpoint, await exchange.json(), contextOf);
      const name = requiredModel(request.model);
      if (request.answer === undefined && request.keepAliveSeconds === 0) {
        const isUnloaded = await models.unload(name);
        exchange.send(200, builderOf(request, name).loaded(isUnloaded ? "unload" : "load"));
        return;
      }
      if (request.keepAliveSeconds !== undefined) models.keep(name, request.keepAliveSeconds);
      await models.use(name, exchange.signal, (served) => respond(exchange, request, served));
    });
  }
  addRoute(app, postRoute("/api/show", "what is known of a model"), async (exchange) => {
    const body = new Body(await exchange.json());
    const name = requiredModel(body.string("model") ?? body.string("name")).replace(/:latest$/, "");
    await models.use(name, exchange.signal, async ({ model }) => {
      const created = new Date((models.find(name)?.createdSeconds ?? 0) * 1000);
      exchange.send(200, shownModel({ name, created, info: model.info }));
    });
  });
  addRoute(app, getRoute("/api/tags", "models that are served"), (exchange) =>
    exchange.send(200, { models: models.list().map((one) => listedModel(described(one))) }),
  );
  addRoute(app, getRoute("/api/ps", "models that are loaded"), (exchange) => {
    const loaded = models.list().filter(({ model }) => model !== undefined);
    exchange.send(200, { models: loaded.map((one) => runningModel(described(one))) });
  });
  addRoute(app, getRoute("/api/version", "version of the API"), (exchange) =>
    exchange.send(200, { version: OLLAMA_API_VERSION, idlm: { version: packageJson.version } }),
  );
};

async function respond(exchange: Exchange, request: OllamaRequest, served: ServedModel): Promise<void> {
  const { answer } = request;
  const builder = builderOf(request, served.name, served.model.tokenizer);
  if (answer === undefined) exchange.send(200, builder.loaded("load"));
  else await respondWithAnswer(exchange, { ...request, answer }, served, builder);
}

function builderOf({ endpoint, answer }: OllamaRequest, model: string, tokenizer?: TextTokenizer): OllamaBuilder {
  const asked = answer ?? { ignored: [], rounds: false };
  return new OllamaBuilder(endpoint, { model, created: new Date(), tokenizer, asked });
}

async function respondWithAnswer(
  exchange: Exchange,
  { answer, stream }: OllamaRequest & { readonly answer: AnswerRequest },
  served: ServedModel,
  builder: OllamaBuilder,
): Promise<void> {
  const running = startAnswer(exchange, served, { ...answer, id: exchange.id });
  if (!stream) {
    for await (const events of running.events) for (const event of events) builder.push(event);
    exchange.send(200, builder.body(await wholeAnswer(exchange, running)));
    return;
  }
  await sendStream(exchange, jsonLines, running.events, {
    write: (events) =>
      events
        .flatMap((event) => builder.push(event))
        .map(line)
        .join(""),
    end: async () => line(builder.end(await wholeAnswer(exchange, running))),
    failed: (error) => line(exchange.errorOf(error).body),
  });
}

function line(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

function described({ name, createdSeconds, model, expires }: ModelDescription) {
  return { name, created: new Date(createdSeconds * 1000), info: model?.info, expires };
}

function getRoute(path: string, description: string) {
  return createRoute({
    ...{ method: "get", path },
    responses: { 200: { content: { "application/json": { schema: z.looseObject({}) } }, description } },
  });
}

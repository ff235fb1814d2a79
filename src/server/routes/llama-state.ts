import { createRoute, z } from "@hono/zod-openapi";
import packageJson from "../../../package.json" with { type: "json" };
import { readLlamaRequest } from "../../apis/llama/request.ts";
import { usage } from "../../engine/request/request-values.ts";
import type { AddRoutes } from "../context.ts";
import type { Models } from "../models/models.ts";
import { addRoute } from "../route.ts";
import { json } from "./schemas.ts";
import { firstOf } from "./state.ts";

/** What clients of llama-server and of vLLM ask about a model before they use it. */
export const addLlamaStateRoutes: AddRoutes = (app, { models }) => {
  addRoute(app, propsRoute, (exchange) => exchange.send(200, propsOf(models)));
  addRoute(app, slotsRoute, (exchange) => exchange.send(200, slotsOf(models)));
  addRoute(app, tokenizerInfoRoute, async (exchange) => {
    await models.use(undefined, exchange.signal, async ({ model: { tokenizer, info } }) => {
      if (tokenizer === undefined) throw usage("the model has no tokenizer");
      const { specialTokens, chatTemplate } = tokenizer;
      const isAdded = tokenizer.encodePrompt("").length > 0;
      exchange.send(200, {
        ...{ tokenizer_class: "idlm", model_max_length: info.contextLength, add_bos_token: isAdded },
        ...specialTokens,
        ...(chatTemplate !== undefined && { chat_template: chatTemplate }),
      });
    });
  });
};

/** As llama-server has it, as far as it applies. What is not known before the model is loaded is left out. */
function propsOf(models: Models) {
  const { name, model } = firstOf(models);
  const { chatTemplate, specialTokens = {} } = model?.tokenizer ?? {};
  return {
    default_generation_settings: {
      n_ctx: model?.info.contextLength ?? 0,
      params: readLlamaRequest({ prompt: "" }).settings,
    },
    total_slots: model?.stats().maxSequences ?? 0,
    model_alias: name,
    model_path: name,
    modalities: { vision: false, audio: false },
    endpoint_slots: true,
    endpoint_props: false,
    endpoint_metrics: true,
    ...(model !== undefined && {
      chat_template: chatTemplate ?? "",
      bos_token: specialTokens.bos_token ?? "",
      eos_token: specialTokens.eos_token ?? "",
    }),
    build_info: `idlm ${packageJson.version}`,
  };
}

/** As llama-server has it: a slot for each sequence that can run at once. */
function slotsOf(models: Models) {
  return models.list().flatMap(({ name, model }) => {
    if (model === undefined) return [];
    const { sequences, maxSequences } = model.stats();
    const running = sequences.filter(({ isRunning }) => isRunning);
    return Array.from({ length: maxSequences }, (_, id) => {
      const sequence = running[id];
      const isProcessing = sequence !== undefined;
      const nDecoded = sequence?.generatedTokens ?? 0;
      return {
        ...{ id, model: name, n_ctx: model.info.contextLength, speculative: true, is_processing: isProcessing },
        ...{ n_prompt_tokens: sequence?.promptTokens ?? 0, n_decoded: nDecoded },
        next_token: [{ has_next_token: isProcessing, n_decoded: nDecoded }],
      };
    });
  });
}

const propsRoute = createRoute({
  method: "get",
  path: "/props",
  responses: {
    200: json(
      z.object({
        default_generation_settings: z.object({ n_ctx: z.number(), params: z.looseObject({}) }),
        ...{ total_slots: z.number(), model_alias: z.string(), model_path: z.string(), build_info: z.string() },
        modalities: z.object({ vision: z.boolean(), audio: z.boolean() }),
        ...{ endpoint_slots: z.boolean(), endpoint_props: z.boolean(), endpoint_metrics: z.boolean() },
        ...{ chat_template: z.string().optional(), bos_token: z.string().optional(), eos_token: z.string().optional() },
      }),
      "Properties of the first model, as llama-server names them.",
    ),
  },
});

const slotsRoute = createRoute({
  method: "get",
  path: "/slots",
  responses: {
    200: json(
      z.array(
        z.object({
          ...{ id: z.number(), model: z.string(), n_ctx: z.number(), speculative: z.boolean() },
          ...{ is_processing: z.boolean(), n_prompt_tokens: z.number(), n_decoded: z.number() },
          next_token: z.array(z.object({ has_next_token: z.boolean(), n_decoded: z.number() })),
        }),
      ),
      "Sequences that can run at once, as llama-server names them.",
    ),
  },
});

const tokenizerInfoRoute = createRoute({
  method: "get",
  path: "/tokenizer_info",
  responses: {
    200: json(
      z.looseObject({ tokenizer_class: z.string(), model_max_length: z.number(), add_bos_token: z.boolean() }),
      "Special tokens and chat template of the first model, as vLLM names them.",
    ),
  },
});

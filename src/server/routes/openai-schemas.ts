import { z } from "@hono/zod-openapi";
import type { Endpoint } from "../../apis/openai/request.ts";
import { samplingSettingNames } from "../../compute/sampling/settings.ts";
import { proposeValues, shapeValues, verifyValues } from "../../engine/request/round-options.ts";

const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const text = () => z.string().nullish();
const number = () => z.number().nullish();
const flag = () => z.boolean().nullish();
const object = () => z.looseObject({}).nullish();
/** What the codec describes in its messages better than a schema would. */
const any = () => z.unknown().optional();

/** Keys that both endpoints have. */
const common = {
  model: z.string(),
  ...Object.fromEntries(samplingSettingNames.map((name) => [snakeCase(name), number()])),
  ...{ n: number(), seed: number(), max_tokens: number(), stream: flag(), logit_bias: object(), user: text() },
  stop: z.union([z.string(), z.array(z.string())]).nullish(),
  stream_options: z.looseObject({ include_usage: flag() }).nullish(),
  ...{ propose: z.enum(proposeValues).nullish(), shape: z.enum(shapeValues).nullish(), stride: number() },
  ...{ verify: z.enum(verifyValues).nullish(), tau: number(), priority: number() },
  // The keys above, and whether records of rounds are wanted.
  idlm: z.looseObject({ rounds: flag() }).nullish(),
};

const chat = {
  messages: z.array(z.looseObject({ role: z.string() })),
  ...{ max_completion_tokens: number(), logprobs: flag(), top_logprobs: number() },
  ...{ tools: z.array(z.looseObject({})).nullish(), tool_choice: any(), parallel_tool_calls: flag() },
  ...{ prediction: object(), reasoning_effort: text(), chat_template_kwargs: object(), response_format: object() },
};

const completion = {
  // A text, token ids, or a list of either.
  prompt: z.union([z.string(), z.array(z.unknown())]).nullish(),
  ...{ echo: flag(), best_of: number(), logprobs: number() },
};

/** Keys of the bodies, which may have others: those without an effect are listed in the response. */
export const bodySchemas: Readonly<Record<Endpoint, z.ZodObject>> = {
  chat: z.looseObject({ ...common, ...chat }),
  completions: z.looseObject({ ...common, ...completion }),
};

const usage = z.looseObject({
  ...{ prompt_tokens: z.number(), completion_tokens: z.number(), total_tokens: z.number() },
  prompt_tokens_details: z.looseObject({ cached_tokens: z.number() }),
});

const choice = z.looseObject({ index: z.number(), finish_reason: z.string(), logprobs: z.unknown() });

/** Bodies of responses that are not streamed. */
export const responseSchemas: Readonly<Record<Endpoint, z.ZodObject>> = {
  chat: z.looseObject({
    ...{ id: z.string(), object: z.literal("chat.completion"), created: z.number(), model: z.string() },
    choices: z.array(choice.extend({ message: z.looseObject({ role: z.literal("assistant") }) })),
    usage,
  }),
  completions: z.looseObject({
    ...{ id: z.string(), object: z.literal("text_completion"), created: z.number(), model: z.string() },
    choices: z.array(choice.extend({ text: z.string() })),
    usage,
  }),
};

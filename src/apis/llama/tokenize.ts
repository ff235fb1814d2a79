import { shown, wrongKey } from "../../engine/request/request-values.ts";
import type { ChatMessage, GenerateRequest, TextTokenizer } from "../../engine/types.ts";
import { Body } from "../body.ts";
import { messagesOf } from "../openai/messages.ts";
import { readTools } from "../openai/tools.ts";
import { toolSettings } from "../tool-settings.ts";

/** A body of POST /tokenize: llama-server's with `content`, or vLLM's with `prompt` or `messages`. */
export type TokenizeRequest =
  | { readonly model: string | undefined; readonly text: string; readonly options: TokenizeOptions }
  | { readonly model: string | undefined; readonly chat: GenerateRequest; readonly options: TokenizeOptions };

export interface TokenizeOptions {
  /** Whether the model's BOS token comes first. */
  readonly addsSpecial: boolean;
  readonly parsesSpecial: boolean;
  /** Whether texts of the tokens are wanted. */
  readonly hasPieces: boolean;
  readonly isVllm: boolean;
}

/** @throws IdlmError "usage" with the key. */
export function readTokenizeRequest(json: unknown): TokenizeRequest {
  const body = new Body(json);
  const model = body.string("model");
  const [content, prompt] = [body.string("content"), body.string("prompt")];
  const isVllm = content === undefined;
  const options = {
    addsSpecial: (isVllm ? body.boolean("add_special_tokens") : body.boolean("add_special")) ?? isVllm,
    parsesSpecial: body.boolean("parse_special") ?? true,
    hasPieces: (isVllm ? body.boolean("return_token_strs") : body.boolean("with_pieces")) ?? false,
    isVllm,
  };
  const text = content ?? prompt;
  if (text !== undefined) return { model, text, options };
  if (body.take("messages") === undefined) throw wrongKey("content", "missing", "Give the text to tokenize.");
  return { model, chat: readTemplateRequest(json).chat, options };
}

/** Ids of a text. */
export function tokenize(text: string, tokenizer: TextTokenizer, options: TokenizeOptions): readonly number[] {
  const special = options.addsSpecial ? tokenizer.encodePrompt("") : [];
  return [...special, ...tokenizer.encode(text, { special: options.parsesSpecial })];
}

/** The response with the ids. */
export function tokenizeBody(
  ids: readonly number[],
  tokenizer: TextTokenizer | undefined,
  { hasPieces, isVllm }: TokenizeOptions,
  contextLength: number,
): Readonly<Record<string, unknown>> {
  const pieces = hasPieces ? ids.map((id) => pieceOf(id, tokenizer)) : undefined;
  if (!isVllm) return { tokens: pieces === undefined ? ids : ids.map((id, i) => ({ id, piece: pieces[i] })) };
  const token_strs = pieces?.map((piece) => (typeof piece === "string" ? piece : "\ufffd")) ?? null;
  return { count: ids.length, max_model_len: contextLength, tokens: ids, token_strs };
}

/** Text of a token, or its bytes if they are no text. */
function pieceOf(id: number, tokenizer: TextTokenizer | undefined): string | readonly number[] {
  const bytes = tokenizer?.tokenBytes(id) ?? new Uint8Array();
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return [...bytes];
  }
}

/** The ids of a body of POST /detokenize. @throws IdlmError "usage". */
export function readDetokenizeRequest(json: unknown): {
  readonly model: string | undefined;
  readonly ids: readonly number[];
} {
  const body = new Body(json);
  const [model, tokens] = [body.string("model"), body.take("tokens")];
  if (!Array.isArray(tokens)) throw wrongKey("tokens", `expected token ids, found ${shown(tokens)}`);
  const wrong = (tokens as unknown[]).findIndex((id) => !Number.isInteger(id) || (id as number) < 0);
  if (wrong >= 0) throw wrongKey(`tokens[${wrong}]`, `expected a token id, found ${shown(tokens[wrong])}`);
  return { model, ids: tokens as readonly number[] };
}

/** The conversation of POST /apply-template. @throws IdlmError "usage" with the key. */
export function readTemplateRequest(json: unknown): {
  readonly model: string | undefined;
  readonly chat: GenerateRequest & { readonly messages: readonly ChatMessage[] };
} {
  const body = new Body(json);
  const messages = messagesOf(body);
  const { tools } = readTools(body);
  const templateArguments = body.object("chat_template_kwargs");
  const addGenerationPrompt = body.boolean("add_generation_prompt");
  const continueFinalMessage = body.boolean("continue_final_message");
  const chat = {
    ...{ messages, ...toolSettings(tools), templateArguments },
    ...{ addGenerationPrompt, continueFinalMessage },
  };
  return { model: body.string("model"), chat };
}

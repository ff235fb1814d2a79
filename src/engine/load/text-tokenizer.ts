import { IdlmError, key, phrase } from "../../errors.ts";
import type { FolderText } from "../../formats/files/folder-text.ts";
import type { OpenedModel } from "../../model/open/open-model.ts";
import {
  ChatTemplate,
  encodeChat,
  type SpecialVariables,
  type Tokenizer,
  tokenizerFromFolder,
  tokenizerOfVocabulary,
  variablesOfFolder,
  variablesOfGguf,
} from "../../tokenizer/index.ts";
import type { ToolFormat } from "../../grammar/tool-calls.ts";
import { knowsTools, toolFormatOf, withToolText } from "./tool-messages.ts";
import type { ChatMessage, ChatOptions, TextTokenizer } from "../types.ts";
import { templateMessage, templateTool } from "./template-values.ts";

/** The tokenizer of a model, if any, and its end tokens. */
export interface ModelText {
  readonly tokenizer: TextTokenizer | undefined;
  readonly endTokens: ReadonlySet<number>;
}

/** Reads the tokenizer and the end tokens of a model. @throws IdlmError "file-malformed", "unsupported". */
export function textOf({ path, metadata, vocabulary, text }: OpenedModel): ModelText {
  if (vocabulary !== undefined) {
    return wrapped(tokenizerOfVocabulary(vocabulary, path), vocabulary, variablesOfGguf(vocabulary), path);
  }
  if (text === undefined) {
    const end = metadata?.get("tokenizer.ggml.eos_token_id");
    return { tokenizer: undefined, endTokens: new Set(typeof end === "number" ? [end] : []) };
  }
  const tokenizer = tokenizerFromFolder(path, text);
  return tokenizer === undefined
    ? { tokenizer, endTokens: new Set(text.endIds) }
    : wrapped(tokenizer, text, variablesOfFolder(text), path);
}

/** A model's chat templates; that for tools only if it has one of its own for them. */
type Templates = Pick<FolderText, "chatTemplate" | "toolTemplate">;

function wrapped(tokenizer: Tokenizer, templates: Templates, variables: SpecialVariables, path: string): ModelText {
  return { tokenizer: new ModelTokenizer(tokenizer, templates, variables, path), endTokens: new Set(tokenizer.eosIds) };
}

class ModelTokenizer implements TextTokenizer {
  readonly #tokenizer: Tokenizer;
  readonly #template: ChatTemplate | undefined;
  readonly #toolTemplate: ChatTemplate | undefined;
  readonly #path: string;
  readonly specialTokens: SpecialVariables;
  readonly toolFormat: ToolFormat;

  constructor(tokenizer: Tokenizer, templates: Templates, variables: SpecialVariables, path: string) {
    this.#tokenizer = tokenizer;
    this.specialTokens = variables;
    const { chatTemplate: chat, toolTemplate: tools } = templates;
    this.toolFormat = toolFormatOf(tools ?? chat);
    this.#template = chat === undefined ? undefined : new ChatTemplate(chat, path);
    this.#toolTemplate = tools === undefined ? undefined : new ChatTemplate(tools, path);
    this.#path = path;
  }

  get chatTemplate(): string | undefined {
    return this.#template?.source;
  }

  encode(text: string, options: { readonly special?: boolean } = {}): number[] {
    return this.#tokenizer.encode(text, options);
  }

  encodePrompt(text: string): number[] {
    const ids = this.#tokenizer.encode(text, { special: true });
    const { bosId, addsBos } = this.#tokenizer;
    // An empty text starts a new document.
    return addsBos && bosId !== undefined && ids[0] !== bosId ? [bosId, ...ids] : ids;
  }

  async encodeChat(
    messages: readonly ChatMessage[],
    options: ChatOptions & { readonly now?: Date | undefined } = {},
  ): Promise<number[]> {
    const { tools, templateArguments, addGenerationPrompt, continueFinalMessage, now } = options;
    const given = { messages: messages.map(templateMessage), tools: (tools ?? []).map(templateTool) };
    const template = given.tools.length > 0 ? (this.#toolTemplate ?? this.#template) : this.#template;
    if (template === undefined) {
      throw new IdlmError("usage", {
        problem: `${this.#path} has no chat template`,
        hint: phrase`Give it raw text (${key("prompt")}).`,
      });
    }
    const isKnown = knowsTools(template.source);
    return encodeChat(this.#tokenizer, template, {
      messages: isKnown ? given.messages : withToolText(given.messages, given.tools),
      tools: isKnown && given.tools.length > 0 ? given.tools : undefined,
      kwargs: { ...this.specialTokens, ...templateArguments },
      ...{ addGenerationPrompt, continueFinalMessage, now },
    });
  }

  decode(ids: readonly number[]): string {
    return this.#tokenizer.decode(ids);
  }

  tokenBytes(id: number): Uint8Array | undefined {
    return this.#tokenizer.tokenBytes(id);
  }

  isSpecial(id: number): boolean {
    return this.#tokenizer.isSpecial(id);
  }

  stream() {
    const decoder = this.#tokenizer.streamDecoder();
    return { push: (token: number) => decoder.push(token), end: () => decoder.flush() };
  }
}

import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import { NUMERICS } from "../../compute/backend.ts";
import type { LoadProgress, Model } from "../../engine/types.ts";
import { key, phrase } from "../../errors.ts";
import { requireFreeSpace } from "../../formats/files/free-space.ts";
import { makeFolder } from "../../formats/files/make-folder.ts";
import { sha256File } from "../../formats/files/sha256.ts";
import { lockFolder, type PackageOptions, resolveModel } from "../../hub/index.ts";
import { openModel } from "../../model/open/open-model.ts";
import { modelFingerprint } from "../model-fingerprint.ts";
import type { TextLimits } from "./answer-request.ts";
import { ChatFormat } from "./chat-format.ts";
import { humanConversations } from "./prompts/human-packages.ts";
import { humanText } from "./prompts/human-prompts.ts";
import { FilePrompts } from "./prompts/prompts-file.ts";
import { TemplatePrompts } from "./prompts/template-prompts.ts";
import { Questions } from "./questions.ts";
import { fileSources, mixedSources, planRequests, type PromptSources } from "./request-plan.ts";
import type { TextOutcome } from "./row.ts";
import { RowFilter } from "./row-filter.ts";
import { checkNoText, countDropped, TextFolder } from "./text-folder.ts";
import {
  checkSameText,
  readTextManifest,
  TEXT_FILE,
  type TextManifest,
  type TextModel,
  type TextSettings,
} from "./text-manifest.ts";
import { TextTotals } from "./text-totals.ts";
import { writeRows } from "./write-rows.ts";

/** Positions of a chat: longer ones are rare, and each costs memory. */
const MAX_CONTEXT = 2048;
/** Longer answers of small models are mostly loops; and many short ones are worth more than few long ones. */
const MAX_ANSWER_TOKENS = 384;
/** Sequences that are generated at once: from here on more of them are hardly faster. */
const CONCURRENCY = 32;
/** Positions of the KV cache for each: what a prompt and an answer take on average. */
const CACHE_PER_SEQUENCE = 512;
/** Bytes of a row for each token of its answers: ids, mask and text, and its prompt. */
const BYTES_PER_TOKEN = 16;

/** As of `load`. */
export type LoadLimits = Readonly<Record<"context" | "maxSequences" | "cachePositions", number>>;

export interface WriteTextOptions {
  /** A name or a path, as of `load`. */
  readonly model: string;
  /** Folder of the text. One that has text is continued. */
  readonly out: string;
  /** Tokens of answers to write in all. */
  readonly tokens: number;
  readonly seed: number;
  /** A file of prompts, in place of those of people, of the model and from templates. */
  readonly prompts: string | undefined;
  /** Loads the model without an adapter. */
  readonly load: (limits: LoadLimits) => Promise<Model>;
  readonly onProgress: (progress: WriteProgress) => void;
  readonly onLoad?: ((progress: LoadProgress) => void) | undefined;
  /** Receives a sentence for a person. */
  readonly onNotice: (sentence: string) => void;
  /** An abort ends the run; what was written stays, and the next run continues it. */
  readonly signal: AbortSignal;
  /** Requests that run at once; the text does not depend on it. Default: 32. @internal */
  readonly concurrency?: number;
  /** How packages are fetched. @internal */
  readonly packages?: Pick<PackageOptions, "cache" | "pipCommands">;
}

export interface WriteProgress {
  readonly totals: TextTotals;
  readonly outcome: TextOutcome;
}

/**
 * Has a model write its own training text into a folder: chats whose answers it generates. What is written depends on the
 * model, the prompts and the seed alone, not on threads, or on where runs were interrupted. A finished text is left as it is.
 * Returns what the folder holds.
 * @throws IdlmError "run-mismatch" for a folder of another model or other settings; those of `load`, `TextFolder.open`,
 * `FilePrompts.read`, `humanConversations` and `writeRows`; the signal's reason.
 */
export async function writeText(options: WriteTextOptions): Promise<TextManifest> {
  const { out, tokens, seed, signal } = options;
  const { model, limits } = await describeModel(options);
  const file = await readPromptsFile(options);
  const { maxPromptTokens: max_prompt_tokens, maxAnswerTokens: max_answer_tokens } = limits;
  const settings: TextSettings = {
    ...{ seed, prompts: file === undefined ? "mixed" : "file" },
    ...{ max_prompt_tokens, max_answer_tokens, numerics: NUMERICS },
  };
  const found = readTextManifest(out);
  if (found === undefined) checkNoText(out);
  else checkSameText(out, found, { model, settings: { ...settings, ...(file && { prompts_sha256: file.sha256 }) } });
  if (found !== undefined && (await isFinished(out, found, tokens, signal))) return found;
  makeFolder(out);
  await requireFreeSpace(out, BYTES_PER_TOKEN * (tokens - (found?.response_tokens ?? 0)));
  const lock = await lockFolder(out, signal, options.packages?.cache);
  try {
    const { sources, sha256 } = file === undefined ? await mixedPrompts(options) : promptsOf(file);
    const manifest = {
      model,
      settings: { ...settings, tokens: Math.max(tokens, found?.settings.tokens ?? 0), prompts_sha256: sha256 },
    };
    if (found !== undefined) checkSameText(out, found, manifest);
    return await continueText(options, manifest, sources, limits, file?.prompts.length ?? 0);
  } finally {
    await lock.release();
  }
}

async function describeModel({ model, onLoad, onNotice, signal }: WriteTextOptions): Promise<{
  readonly model: TextModel;
  readonly limits: TextLimits;
}> {
  const location = await resolveModel(model, { pull: true, onProgress: onLoad, onNotice, signal });
  const opened = openModel(location.path, location.kind);
  const { architecture, vocabSize, contextLength } = opened.config;
  opened.close();
  const context = Math.min(contextLength, MAX_CONTEXT);
  return {
    model: { sha256: await modelFingerprint(location, signal), architecture, vocab_size: vocabSize },
    limits: { context, maxPromptTokens: Math.floor(context / 2), maxAnswerTokens: MAX_ANSWER_TOKENS },
  };
}

async function readPromptsFile({ prompts, onNotice, signal }: WriteTextOptions): Promise<FilePrompts | undefined> {
  if (prompts === undefined) return undefined;
  const file = await FilePrompts.read(prompts, "It has a prompt per line, as text or as JSON.", signal);
  if (file.nRepeated > 0) onNotice(`${prompts}: ${file.nRepeated} prompts come a second time; each is used once`);
  return file;
}

function promptsOf(file: FilePrompts): { readonly sources: PromptSources; readonly sha256: string } {
  return { sources: fileSources(file), sha256: file.sha256 };
}

async function mixedPrompts({ seed, packages, onNotice, signal }: WriteTextOptions) {
  const hint = phrase`Or write with prompts of your own (${key("prompts")}).`;
  const text = humanText(await humanConversations({ ...packages, hint, signal }));
  const { openings, questions, chats, nDropped } = text;
  const kept = `${openings.length} openings, ${questions.length} questions, ${chats.length} chats of several turns`;
  const left = Object.entries(nDropped).map(([reason, n]) => `${n} ${reason}`);
  onNotice(`prompts of people: ${kept}; left out: ${left.join(", ")}`);
  const sha256 = createHash("sha256")
    .update(JSON.stringify([text, TemplatePrompts.parts]))
    .digest("hex");
  return { sources: mixedSources(seed, text), sha256 };
}

async function continueText(
  { out, tokens, seed, load, onProgress, onNotice, signal, concurrency = CONCURRENCY }: WriteTextOptions,
  manifest: Pick<TextManifest, "model" | "settings">,
  sources: PromptSources,
  limits: TextLimits,
  nPrompts: number,
): Promise<TextManifest> {
  const filter = new RowFilter();
  const questions = new Questions();
  const restore = (outcome: TextOutcome) => {
    if ("row" in outcome) filter.add(outcome.row);
    const question = sampledQuestion(outcome);
    if (question !== undefined) questions.restore(question);
  };
  const folder = await TextFolder.open(out, manifest, new TextTotals(), restore, signal);
  try {
    const { totals } = folder;
    if (totals.rows > 0) onNotice(`${out}: continuing after ${totals.rows} rows, ${totals.responseTokens} tokens`);
    const plan = planRequests(seed, sources);
    for (let i = 0; i < totals.nextIndex; i++) plan.next();
    const { context } = limits;
    const cachePositions = Math.max(context, concurrency * CACHE_PER_SEQUENCE);
    const model = await load({ context, maxSequences: concurrency, cachePositions });
    try {
      const parts = { model, format: await ChatFormat.of(model), limits, questions, seed, signal };
      const onOutcome = (outcome: TextOutcome) => onProgress({ totals, outcome });
      await writeRows(folder, plan, parts, { tokens, concurrency, nPrompts, filter, onOutcome });
    } finally {
      await model.dispose();
      // Also where a run is stopped; where it has failed to write this fails as well.
      await folder.save(totals.responseTokens >= tokens);
    }
  } finally {
    await folder.close();
  }
  return readTextManifest(out) as TextManifest;
}

/** The question of a request, if it was sampled, for any outcome. */
function sampledQuestion(outcome: TextOutcome): string | undefined {
  if ("row" in outcome) return outcome.row.source === "model" ? outcome.row.messages[0]?.content : undefined;
  const { source, reason, prompt } = outcome.dropped;
  return source === "model" && reason !== "near-duplicate-question" && reason !== "no-question" ? prompt : undefined;
}

/** Whether the folder holds what its manifest of a whole text says, to the byte: a disk that lost power may keep sizes only. */
async function isFinished(
  out: string,
  { complete, response_tokens, requests, rows, files: [file] }: TextManifest,
  tokens: number,
  signal: AbortSignal,
): Promise<boolean> {
  const text = join(out, TEXT_FILE);
  if (!complete || response_tokens < tokens || statSync(text, { throwIfNoEntry: false })?.size !== file.bytes)
    return false;
  return (
    (await countDropped(out, signal)) === requests - rows && (await sha256File(text, undefined, signal)) === file.sha256
  );
}

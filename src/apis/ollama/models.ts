import { createHash } from "node:crypto";
import type { ModelInfo } from "../../engine/types.ts";

/** A model as the API lists it. */
export interface OllamaModel {
  readonly name: string;
  readonly created: Date;
  /** Undefined: not loaded. */
  readonly info: ModelInfo | undefined;
  /** When it is unloaded; undefined: never by the clock. */
  readonly expires?: Date | undefined;
}

/**
 * Version of the API that is spoken: clients look at it for what they may use. idlm's own stands beside it.
 */
export const OLLAMA_API_VERSION = "0.12.0";

/** An entry of /api/tags. */
export function listedModel({ name, created, info }: OllamaModel) {
  return {
    ...{ name, model: name, modified_at: created.toISOString(), size: info?.weightBytes ?? 0 },
    // Clients tell entries apart by it; the files' own hashes would say more of them than a client has to know.
    digest: createHash("sha256").update(name, "utf8").digest("hex"),
    details: detailsOf(info),
  };
}

/** An entry of /api/ps. Without `keep_alive` a model stays loaded while there is memory. */
export function runningModel(model: OllamaModel) {
  const { modified_at: _, ...listed } = listedModel(model);
  return {
    ...listed,
    expires_at: model.expires?.toISOString() ?? FAR,
    size_vram: 0,
    context_length: model.info?.contextLength ?? 0,
  };
}

const FAR = "9999-12-31T23:59:59Z";

/** The body of /api/show. */
export function shownModel({ created, info }: OllamaModel) {
  const architecture = info?.architecture ?? "unknown";
  const known = info && {
    [`${architecture}.context_length`]: info.contextLength,
    [`${architecture}.block_count`]: info.nLayers,
    [`${architecture}.vocab_size`]: info.vocabSize,
  };
  return {
    ...{ license: "", modelfile: "", parameters: "", template: "", system: "" },
    details: detailsOf(info),
    model_info: { "general.architecture": architecture, ...known },
    capabilities: ["completion", "tools"],
    modified_at: created.toISOString(),
  };
}

function detailsOf(info: ModelInfo | undefined) {
  const family = info?.architecture ?? "";
  return {
    ...{ parent_model: "", format: "gguf", family, families: family === "" ? [] : [family] },
    ...{ parameter_size: "", quantization_level: "" },
  };
}

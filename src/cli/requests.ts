import { findEntry } from "../hub/index.ts";
import { type GenerationResult, type GenerationSettings, load, type LoadOptions as EngineLoadOptions, type Model } from "../index.ts";
import type { LoadOptions, TextOptions } from "./generation-options.ts";
import type { CliIo } from "./io.ts";
import { readLogitBias } from "./messages-file.ts";
import { pullWithProgress } from "./pull.ts";

export type { BackendInfo } from "./compute/backend.ts";
export { load } from "./engine/load/load.ts";
export type {
  ChatMessage,
  Choice,
  ForestInput,
  ForwardOptions,
  ForwardOutput,
  GenerateRequest,
  Generation,
  GenerationPart,
  GenerationResult,
  LoadOptions,
  LoadProgress,
  Model,
  ModelInfo,
  Propose,
  ScoredText,
  ScoreRequest,
  RoundForm,
  Session,
  TextStream,
  TextTokenizer,
  TokenLogprobs,
  Verify,
} from "./engine/types.ts";
export { type ErrorCode, errorCatalogue, IdlmError } from "./errors.ts";

import { IdlmError } from "../../errors.ts";
import type { AddRoutes } from "../context.ts";

/** Paths of the APIs that this server does not offer; * stands for anything after a path. */
const paths: readonly string[] = [
  // OpenAI
  ...[
    "/v1/embeddings",
    "/v1/audio/*",
    "/v1/images/*",
    "/v1/videos/*",
    "/v1/moderations",
    "/v1/files/*",
    "/v1/uploads/*",
  ],
  ...[
    "/v1/batches/*",
    "/v1/fine_tuning/*",
    "/v1/assistants/*",
    "/v1/threads/*",
    "/v1/vector_stores/*",
    "/v1/realtime/*",
  ],
  ...["/v1/conversations/*", "/v1/containers/*", "/v1/evals/*", "/v1/organization/*"],
  ...["/v1/chat/completions/:id{chatcmpl-[^/]+}", "/v1/chat/completions/:id{chatcmpl-[^/]+}/messages"],
  ...["/v1/responses/:id/cancel", "/v1/responses/:id/input_items"],
  // Anthropic
  ...["/v1/complete", "/v1/messages/batches/*", "/v1/organizations/*"],
  // vLLM, SGLang and llama-server
  ...[
    "/v1/rerank",
    "/v2/rerank",
    "/rerank",
    "/reranking",
    "/v1/reranking",
    "/v1/score",
    "/score",
    "/pooling",
    "/classify",
  ],
  ...["/embedding", "/embeddings", "/infill", "/lora-adapters", "/generate", "/encode", "/slots/:id"],
  // Ollama
  ...[
    "/api/embed",
    "/api/embeddings",
    "/api/pull",
    "/api/push",
    "/api/create",
    "/api/copy",
    "/api/delete",
    "/api/blobs/*",
    ...["/api/web_search", "/api/web_fetch"],
  ],
];

/** Known paths that this server does not support, answered with 501 instead of 404. */
export const addUnsupportedRoutes: AddRoutes = (app) => {
  for (const path of paths) {
    app.all(path, (c) => {
      throw new IdlmError("not-offered", {
        path: c.req.path,
        hint: "It generates text with the models that it was started with.",
      });
    });
  }
};

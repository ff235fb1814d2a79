export { ChatTemplate, encodeChat, type RenderOptions, type TemplateMessage } from "./chat-template.ts";
export { tokenizerFromGguf } from "./gguf-tokenizer.ts";
export { tokenizerFromFolder } from "./huggingface-tokenizer.ts";
export type { StreamDecoder } from "./stream-decoder.ts";
export { Tokenizer } from "./tokenizer.ts";

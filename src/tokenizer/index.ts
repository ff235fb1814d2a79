export { ChatTemplate, encodeChat } from "./chat-template.ts";
export { tokenizerFromGguf } from "./gguf-tokenizer.ts";
export { tokenizerFromFolder } from "./huggingface-tokenizer.ts";
export { Tokenizer } from "./tokenizer.ts";

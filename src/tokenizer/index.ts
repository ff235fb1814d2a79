export { ChatTemplate, encodeChat, type TemplateMessage } from "./chat-template.ts";
export { parseExactJson } from "./jinja/json-number.ts";
export { checkGgufTokenizer, tokenizerFromGguf, tokenizerOfVocabulary } from "./gguf-tokenizer.ts";
export { tokenizerFromFolder } from "./huggingface-tokenizer.ts";
export { type SpecialVariables, variablesOfFolder, variablesOfGguf } from "./special-variables.ts";
export { checkTokenizerJson, Tokenizer } from "./tokenizer.ts";

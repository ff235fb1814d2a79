import type { GrammarRequest } from "../grammar/grammar.ts";
import type { ToolFormat } from "../grammar/tool-calls.ts";
import type { MessageFormat } from "./types.ts";

export const DEFAULT_TOOL_FORMAT: ToolFormat = "hermes";

/** Whether the whole message has to be calls. */
export function demandsCall(format: MessageFormat | undefined): boolean {
  if (format === undefined || format.tools.length === 0) return false;
  return format.toolChoice !== "auto" && format.toolChoice !== "none";
}

/** Whether calls are limited by their tools' schemas: where they are demanded, a tool is strict, or the text has a grammar. */
export function limitsCalls(text: GrammarRequest | undefined, format: MessageFormat | undefined): boolean {
  if (format === undefined || format.tools.length === 0 || format.toolChoice === "none") return false;
  return demandsCall(format) || text !== undefined || format.tools.some(({ strict }) => strict);
}

/**
 * The grammar of a message that may call tools: where calls are demanded, or a tool is strict, or the text has a grammar of
 * its own. Undefined: any text.
 */
export function withCalls(
  text: GrammarRequest | undefined,
  format: MessageFormat | undefined,
  toolFormat: ToolFormat = DEFAULT_TOOL_FORMAT,
): GrammarRequest | undefined {
  if (format === undefined || !limitsCalls(text, format)) return text;
  const { toolChoice, parallel } = format;
  const named = typeof toolChoice === "object" ? toolChoice.name : undefined;
  const isRequired = demandsCall(format);
  return {
    kind: "tools",
    format: toolFormat,
    tools: format.tools.map(({ name, parameters, strict }) => ({ name, parameters, strict })),
    ...(named !== undefined && { name: named }),
    isRequired,
    isParallel: parallel && named === undefined,
    ...(text !== undefined && { text }),
  };
}

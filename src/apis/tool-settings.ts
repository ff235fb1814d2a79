import type { MessageFormat, Tool } from "../answer/types.ts";
import type { GenerateRequest } from "../engine/types.ts";

/** How an answer is read; tools that must not be called are left out. */
export function toolFormat(asked: Omit<MessageFormat, "reasoning">): MessageFormat {
  const isWithout = asked.toolChoice === "none" || asked.tools.length === 0;
  return { ...asked, ...(isWithout && { tools: [], toolChoice: "none" }), reasoning: true };
}

/** The setting that shows tools to the model; without tools none. */
export function toolSettings(tools: readonly Tool[]): Pick<GenerateRequest, "tools"> {
  return tools.length === 0 ? {} : { tools: tools.map(({ strict: _, ...tool }) => tool) };
}

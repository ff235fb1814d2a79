import { Random, Stream } from "../random.ts";
import { heldOutGroups } from "./prompts/held-out.ts";
import type { FilePrompts } from "./prompts/prompts-file.ts";
import { HumanPrompts, type HumanText } from "./prompts/human-prompts.ts";
import type { Prompt, PromptList } from "./prompts/prompt.ts";
import { TemplatePrompts } from "./prompts/template-prompts.ts";
import type { TextSource } from "./row.ts";

/** One request, before anything is generated. */
export interface TextRequest {
  readonly index: number;
  readonly source: TextSource;
  readonly temperature: number;
  readonly seed: number;
  /** Absent: the model samples it. */
  readonly prompt?: Prompt;
  readonly isHeldOut: boolean;
  /** An earlier request has the same prompt at temperature 0, so that the answer would be the same. */
  readonly isRepeated: boolean;
}

/** Temperatures of twenty requests in a row: 35, 45 and 20 %. */
export const temperatures: readonly number[] = [
  ...Array<number>(7).fill(0),
  ...Array<number>(9).fill(0.7),
  ...Array<number>(4).fill(1),
];

/** Where prompts come from, in turn. */
export interface PromptSources {
  readonly turns: readonly { readonly source: TextSource; readonly prompts?: PromptList }[];
  readonly heldOut: ReadonlySet<string>;
}

export function mixedSources(seed: number, human: HumanText): PromptSources {
  const templates = new TemplatePrompts(seed, human);
  const { openings, questions, chats, messages, conversations } = human;
  const groups = [...openings, ...questions, ...chats, ...messages, ...conversations].map(({ group }) => group);
  return {
    turns: [
      { source: "human", prompts: new HumanPrompts(seed, human) },
      { source: "model" },
      { source: "template", prompts: templates },
    ],
    heldOut: heldOutGroups([...groups, ...TemplatePrompts.groups]),
  };
}

export function fileSources(file: FilePrompts): PromptSources {
  const heldOut = heldOutGroups(file.prompts.map(({ group }) => group));
  return { turns: [{ source: "file", prompts: file }], heldOut };
}

/** All requests in order, without end. */
export function* planRequests(seed: number, { turns, heldOut }: PromptSources): Generator<TextRequest, never> {
  const greedy = new Set<string>();
  let order: readonly number[] = [];
  for (let index = 0; ; index++) {
    const slot = index % temperatures.length;
    const block = Math.floor(index / temperatures.length);
    if (slot === 0) order = new Random(seed, Stream.temperatures, block).permutation(temperatures.length);
    const temperature = temperatures[order[slot] as number] as number;
    const { source, prompts } = turns[index % turns.length] as PromptSources["turns"][number];
    const prompt = prompts?.at(Math.floor(index / turns.length));
    let isRepeated = false;
    if (prompt !== undefined && temperature === 0) {
      const key = JSON.stringify(prompt);
      isRepeated = greedy.has(key);
      greedy.add(key);
    }
    yield {
      ...{ index, source, temperature, isRepeated },
      seed: new Random(seed, Stream.answers, index).seed(),
      ...(prompt !== undefined && { prompt }),
      isHeldOut: prompt !== undefined && heldOut.has(prompt.group),
    };
  }
}

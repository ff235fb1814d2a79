import { Random, Stream } from "../../random.ts";
import type { HumanText } from "./human-prompts.ts";
import { type Prompt, type PromptList, userPrompt } from "./prompt.ts";
import * as tasks from "./tasks.ts";
import { languages, problems, topics } from "./topics.ts";

/** Every combination of a task and what it is about, in an order of their own. */
interface Category {
  readonly nCombinations: number;
  /** Of so many prompts in a row it has this many. */
  readonly share: number;
  readonly prompt: (combination: number, random: Random) => Prompt;
}

/** Prompts made of a task and a topic, a problem of programming, or a text that is given. */
export class TemplatePrompts implements PromptList {
  readonly #seed: number;
  readonly #categories: readonly Category[];
  readonly #orders: readonly (readonly number[])[];
  /** Category of each of so many prompts in a row as the shares sum to. */
  readonly #wheel: readonly number[];

  /** Groups of prompts that do not come from people. */
  static get groups(): readonly string[] {
    return [...topics, ...problems];
  }

  /** What prompts are made of: other parts make other prompts. */
  static get parts(): unknown {
    return [tasks, topics, problems, languages];
  }

  constructor(seed: number, human: Pick<HumanText, "messages" | "conversations">) {
    this.#seed = seed;
    this.#categories = categoriesOf(human).filter(({ nCombinations }) => nCombinations > 0);
    this.#orders = this.#categories.map(({ nCombinations }, i) =>
      new Random(seed, Stream.prompts, 1 + i).permutation(nCombinations),
    );
    // Each category is spread evenly over the wheel.
    const slots = this.#categories.flatMap(({ share }, category) =>
      Array.from({ length: share }, (_, i) => ({ category, at: (i + 0.5) / share })),
    );
    this.#wheel = slots.toSorted((a, b) => a.at - b.at || a.category - b.category).map(({ category }) => category);
  }

  at(n: number): Prompt {
    const lap = Math.floor(n / this.#wheel.length);
    const slot = n % this.#wheel.length;
    const number = this.#wheel[slot] as number;
    const { share, prompt } = this.#categories[number] as Category;
    const order = this.#orders[number] as readonly number[];
    const nEarlier = this.#wheel.slice(0, slot).filter((other) => other === number).length;
    const combination = order[(lap * share + nEarlier) % order.length] as number;
    return prompt(combination, new Random(this.#seed, Stream.prompts, combination, 1 + number));
  }
}

function categoriesOf({ messages, conversations }: Pick<HumanText, "messages" | "conversations">): Category[] {
  const about = (task: string, topic: string) => task.replaceAll(tasks.TOPIC, topic);
  const topical = (share: number, list: readonly (readonly string[])[]): Category => ({
    share,
    ...combine(list, topics, (turns, topic) =>
      userPrompt(
        topic,
        turns.map((turn) => about(turn, topic)),
      ),
    ),
  });
  const coding = (share: number, list: readonly (readonly string[])[]): Category => ({
    share,
    ...combine(list, problems, (turns, problem, random) => {
      const language = pick(languages, random);
      const filled = (turn: string) => turn.replaceAll(tasks.PROBLEM, problem).replaceAll(tasks.LANGUAGE, language);
      return userPrompt(problem, turns.map(filled));
    }),
  });
  const given = (share: number, list: readonly string[], passages: HumanText["messages"]): Category => ({
    share,
    ...combine(list, passages, (task, { text, group }) => userPrompt(group, [task.replace(tasks.PASSAGE, () => text)])),
  });
  const written: Category = {
    share: 3,
    ...combine(tasks.passageTasks, topics, (task, topic, random) => ({
      ...userPrompt(topic, [task]),
      passageRequest: about(pick(tasks.passageRequests, random), topic),
    })),
  };
  const single = (list: readonly string[]) => list.map((task) => [task]);
  return [
    topical(6, single(tasks.chatTasks)),
    topical(4, tasks.turnTasks),
    topical(2, single(tasks.listTasks)),
    coding(2, single(tasks.codeTasks)),
    coding(1, tasks.codeTurns),
    written,
    given(1, tasks.messageTasks, messages),
    given(1, tasks.conversationTasks, conversations),
  ];
}

function combine<A, B>(
  list: readonly A[],
  subjects: readonly B[],
  prompt: (task: A, subject: B, random: Random) => Prompt,
): Omit<Category, "share"> {
  return {
    nCombinations: list.length * subjects.length,
    prompt: (combination, random) =>
      prompt(list[combination % list.length] as A, subjects[Math.floor(combination / list.length)] as B, random),
  };
}

function pick<T>(list: readonly T[], random: Random): T {
  return list[random.below(list.length)] as T;
}

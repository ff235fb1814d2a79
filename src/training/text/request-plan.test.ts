import { describe, expect, it } from "vitest";
import { heldOutGroups } from "./prompts/held-out.ts";
import { humanText } from "./prompts/human-prompts.ts";
import type { Prompt } from "./prompts/prompt.ts";
import { PASSAGE } from "./prompts/tasks.ts";
import { mixedSources, planRequests, type PromptSources, type TextRequest } from "./request-plan.ts";

const subjects = ["rivers", "my sister", "old trains", "winter", "music", "the garden", "a long walk", "sleep"];
const conversations = Array.from({ length: 60 }, (_, i) => ({
  id: `c${i}`,
  turns: [
    `I have been thinking about ${subjects[i % 8]} since number ${i} came up`,
    `And what exactly makes ${subjects[(i * 3) % 8]} number ${i * 7} so important to you these days?`,
    `Nothing much, I only like ${subjects[(i * 5) % 8]} because of its number ${i}`,
    `That is a really good reason to like it, and I never thought of that number ${i} before`,
  ],
}));
const sources = mixedSources(1, humanText(conversations));

function take(n: number, from: PromptSources = sources, seed = 1): TextRequest[] {
  const plan = planRequests(seed, from);
  return Array.from({ length: n }, () => plan.next().value);
}

const count = <T>(items: readonly T[], isIt: (item: T) => boolean) => items.filter(isIt).length;

describe("planRequests", () => {
  const requests = take(3000);

  it("has a third of each source, and 35, 45 and 20 % of the temperatures, also within each source", () => {
    for (const source of ["human", "model", "template"]) {
      const own = requests.filter((request) => request.source === source);
      expect(own.length).toBe(1000);
      for (const [temperature, share] of [
        [0, 0.35],
        [0.7, 0.45],
        [1, 0.2],
      ]) {
        // Of 20 slots in random order one source has 6 or 7: the deviation is that of drawing without replacement.
        const found = count(own, (request) => request.temperature === temperature) / own.length;
        expect(Math.abs(found - (share as number))).toBeLessThan(5 * Math.sqrt(0.25 / own.length));
      }
    }
    for (let block = 0; block < 3000; block += 20) {
      const twenty = requests.slice(block, block + 20);
      expect([0, 0.7, 1].map((t) => count(twenty, ({ temperature }) => temperature === t))).toEqual([7, 9, 4]);
    }
  });

  it("depends on the seed only, and has a seed for each request", () => {
    expect(take(3000)).toEqual(requests);
    expect(new Set(requests.map(({ seed }) => seed)).size).toBe(3000);
    expect(take(50, sources, 2).map(({ seed }) => seed)).not.toEqual(requests.slice(0, 50).map(({ seed }) => seed));
  });

  it("has templates without repetition, with all parts filled in", () => {
    const prompts = requests.flatMap(({ source, prompt }) => (source === "template" && prompt ? [prompt] : []));
    const texts = prompts.map(({ opening, further, passageRequest = "" }) =>
      [...opening.map(({ content }) => content), ...further, passageRequest].join("\n"),
    );
    expect(new Set(texts).size).toBe(texts.length);
    for (const [i, text] of texts.entries()) {
      const rest = prompts[i]?.passageRequest === undefined ? text : text.replace(PASSAGE, "");
      expect(rest).not.toMatch(/\{\w+\}/);
    }
    expect(count(prompts, ({ further }) => further.length > 0) / prompts.length).toBeCloseTo(0.25, 1);
    expect(count(prompts, ({ passageRequest }) => passageRequest !== undefined)).toBeGreaterThan(100);
  });

  it("holds out whole groups, of every source with prompts", () => {
    const splits = new Map<string, Set<boolean>>();
    for (const { prompt, isHeldOut } of requests) {
      if (prompt === undefined) continue;
      splits.set(prompt.group, (splits.get(prompt.group) ?? new Set()).add(isHeldOut));
    }
    for (const split of splits.values()) expect(split.size).toBe(1);
    const share = count([...splits.values()], (split) => split.has(true)) / splits.size;
    expect(share).toBeGreaterThan(0.005);
    expect(share).toBeLessThan(0.1);
  });

  it("marks a prompt that comes a second time at temperature 0", () => {
    const prompts: Prompt[] = ["a", "b"].map((text) => ({
      group: text,
      opening: [{ role: "user", content: text }],
      further: [],
    }));
    const list = { at: (n: number) => prompts[n % 2] as Prompt };
    const found = take(200, { turns: [{ source: "file", prompts: list }], heldOut: new Set() });
    expect(count(found, ({ temperature, isRepeated }) => temperature === 0 && !isRepeated)).toBe(2);
    expect(count(found, ({ temperature, isRepeated }) => temperature > 0 && isRepeated)).toBe(0);
    expect(count(found, ({ isRepeated }) => isRepeated)).toBe(68);
  });
});

describe("heldOutGroups", () => {
  it("is one of forty, at least one of several, whatever their order", () => {
    const groups = Array.from({ length: 400 }, (_, i) => `g${i}`);
    const heldOut = heldOutGroups(groups);
    expect(heldOut.size).toBe(10);
    expect(heldOutGroups(groups.toReversed())).toEqual(heldOut);
    expect(heldOutGroups(["a", "b", "a"]).size).toBe(1);
    expect(heldOutGroups(["a"]).size).toBe(0);
  });
});

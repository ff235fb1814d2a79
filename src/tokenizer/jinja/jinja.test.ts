import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { JinjaTemplate } from "./index.ts";

interface Case {
  readonly template: string;
  readonly variables?: Readonly<Record<string, unknown>>;
  readonly text?: string;
  readonly malformed?: string;
  readonly raised?: string;
  readonly failed?: string;
}

/** What Jinja2 gives for each snippet (scripts/jinja-cases.py). */
const path = join(import.meta.dirname, "..", "..", "..", "test", "fixtures", "jinja-cases.json");
const { variables, cases } = JSON.parse(readFileSync(path, "utf8")) as {
  readonly variables: Readonly<Record<string, unknown>>;
  readonly cases: readonly Case[];
};
const now = new Date(2026, 1, 3, 4, 5, 6);

/** Jinja2's wording of an error is Python's; what has to agree is that there is one, and of which kind. */
async function outcome({ template, variables: own }: Case) {
  const result = await new JinjaTemplate(template).render({ variables: { ...variables, ...own }, now });
  if ("text" in result || "raised" in result) return result;
  return "malformed" in result ? { malformed: expect.any(String) } : { failed: expect.any(String) };
}

function expected({ text, raised, malformed }: Case) {
  if (text !== undefined) return { text };
  if (raised !== undefined) return { raised };
  return malformed === undefined ? { failed: expect.any(String) } : { malformed: expect.any(String) };
}

describe("gives what Jinja2 gives", () => {
  it.each(cases.map((one) => [one.template, one] as const))("%s", async (_, one) => {
    expect(await outcome(one)).toEqual(expected(one));
  });
});

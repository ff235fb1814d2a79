import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "./support/doc-examples.ts";

interface Recipe {
  /** Files that a new entry always changes; a folder stands for a file in it. */
  readonly always: readonly string[];
  readonly ifNeeded: readonly string[];
}

interface Example {
  /** Most files that a new entry changes always. */
  readonly max: number;
  /** How sources spell the name of an entry that exists. */
  readonly entry: RegExp;
  /** Uses of the entry, which a new one does not need. */
  readonly use?: RegExp;
}

/** An entry of each kind, by the heading of its recipe. */
const examples: Readonly<Record<string, Example>> = {
  "An operation": { max: 4, entry: /"swiglu"|\bswiglu\b/ },
  "A proposer": { max: 3, entry: /"medusa"|\bmedusa:|MedusaProposer/ },
  "A shape of rounds": { max: 2, entry: /"tree"|^ {2}tree: \{|TreePlanner/m },
  "A sampling setting": { max: 3, entry: /\bminP\b|\bmin_p\b|min-p/ },
  "A weight type": { max: 3, entry: /\bIQ4_XS\b|Iq4Xs/ },
  "A command": { max: 2, entry: /"doctor"|registerDoctor/ },
  "An error": { max: 1, entry: /"queue-full"/, use: /new IdlmError\("queue-full"/g },
};

const contributing = readFileSync(join(root, "CONTRIBUTING.md"), "utf8");

/** The lines of a recipe from its lists: each begins with the files that it is about. */
function recipeOf(heading: string): Recipe {
  const [, section = ""] = contributing.split(`\n### ${heading}\n`);
  const [text = ""] = section.split(/^##/m);
  const filesOf = (lines: RegExp) =>
    [...text.matchAll(lines)].flatMap(([item]) =>
      [...item.matchAll(/`((?:src|native\/src)\/[\w./-]+)`/g)].map(([, path = ""]) => path),
    );
  // The part of an item before its colon.
  return { always: filesOf(/^\d+\. [^:]+:/gm), ifNeeded: filesOf(/^- [^:]+:/gm) };
}

const withoutComments = (text: string) => text.replace(/\/\*[\s\S]*?\*\/|(?<!:)\/\/.*$/gm, "");

const sources = ["src", "native/src"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => /\.(ts|js|h|cpp)$/.test(name) && !/\.test\.ts$/.test(name))
    .map((name) => join(folder, name))
    .map((path) => ({ path, code: withoutComments(readFileSync(join(root, path), "utf8")) })),
);

const mentionsOf = ({ entry, use }: Example) =>
  sources.filter(({ code }) => entry.test(use === undefined ? code : code.replace(use, ""))).map(({ path }) => path);

/** Whether a file is the one that a recipe lists, or in the folder. */
const isListed = (path: string, listed: string) => (listed.endsWith("/") ? path.startsWith(listed) : path === listed);

describe("recipes of CONTRIBUTING.md", () => {
  it.each(Object.entries(examples))("%s: lists the files that change, and no others", (heading, example) => {
    const { always, ifNeeded } = recipeOf(heading);
    const mentions = mentionsOf(example);
    expect(always.length).toBeGreaterThan(0);
    // A file of compile/ in place of compile.ts.
    expect(always.filter((path) => path !== "src/model/compile/").length).toBeLessThanOrEqual(example.max);
    const unlisted = mentions.filter((path) => ![...always, ...ifNeeded].some((listed) => isListed(path, listed)));
    expect(unlisted, "change, but are not in the recipe").toEqual([]);
    const unchanged = always.filter((listed) => !mentions.some((path) => isListed(path, listed)));
    // An operation is emitted by compile.ts or by a file of this folder.
    expect(
      unchanged.filter((path) => path !== "src/model/compile/"),
      "are in the recipe, but do not change",
    ).toEqual([]);
  });

  it("name files and folders that exist", () => {
    for (const heading of Object.keys(examples)) {
      const { always, ifNeeded } = recipeOf(heading);
      for (const path of [...always, ...ifNeeded]) expect(existsSync(join(root, path)), path).toBe(true);
    }
  });

  it("comments are not code", () => {
    expect(withoutComments('a // "x"\n/* "y"\n */ b http://c')).toBe("a \n b http://c");
  });
});

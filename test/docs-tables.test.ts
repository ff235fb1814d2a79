import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "./support/doc-examples.ts";
import { docsTables, withTables } from "./support/docs-tables.ts";

const pages = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"));
const pathOf = (name: string) => join(root, "docs", name);

describe("tables of the documentation", () => {
  // `npm run docs` writes them.
  if (process.env.IDLM_UPDATE_DOCS === "1") {
    for (const name of pages) writeFileSync(pathOf(name), withTables(readFileSync(pathOf(name), "utf8")).text);
  }

  it("are those of the code (npm run docs)", () => {
    for (const name of pages) {
      const text = readFileSync(pathOf(name), "utf8");
      expect(withTables(text).text, name).toBe(text);
    }
  });

  it("are all in a page", () => {
    const names = pages.flatMap((name) => withTables(readFileSync(pathOf(name), "utf8")).names);
    expect(names.toSorted()).toEqual(Object.keys(docsTables).toSorted());
  });

  it("a table that differs is replaced, with its markers kept", () => {
    const page = "a\n<!-- table shapes: x -->\n| old |\n<!-- end of table -->\nb\n";
    const { text, names } = withTables(page);
    expect(names).toEqual(["shapes"]);
    expect(text).toMatch(
      /^a\n<!-- table shapes: x -->\n\n\| `--shape`[\s\S]*\| `chain` [\s\S]*\n<!-- end of table -->\nb\n$/,
    );
    expect(withTables(text).text).toBe(text);
  });
});

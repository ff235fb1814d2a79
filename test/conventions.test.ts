import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "..");

interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** TypeScript below a folder. */
function sources(folder: string): SourceFile[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => ({ path: join(folder, name), text: readFileSync(join(root, folder, name), "utf8") }));
}

/** Paths of sources that a text names. */
const pathsIn = (text: string) =>
  [...text.matchAll(/(?<![\w/.])(?:src|native\/src)\/[\w/.-]+\.(?:ts|js|h|cpp)\b/g)].map(([path]) => path);

/** The strings of a file and the fixed parts of its templates. */
function stringsOf({ path, text }: SourceFile): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) {
      found.push(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest));
  return found;
}

const flagsIn = (file: SourceFile) =>
  stringsOf(file).flatMap((string) => [...string.matchAll(/(?<![\w-])--[a-z][\w-]*/g)].map(([flag]) => flag));

/** Flags passed to other programs. */
const foreign: Readonly<Record<string, readonly string[]>> = {
  "src/hub/pip/pip.ts": [
    ...["--no-deps", "--only-binary", "--dest", "--no-input", "--disable-pip-version-check", "--progress-bar"],
  ],
  "src/bench/conditions.ts": ["--short"],
};

describe("conventions", () => {
  it("flags in strings are found", () => {
    const file = {
      path: "a.ts",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the source text of a template is what is parsed
      text: 'f("use --one"); g(`${x} or --two ${y}-- a--b`, "a--c", ["--d=1"]); // --three',
    };
    expect(flagsIn(file)).toEqual(["--one", "--two", "--d"]);
  });

  it("only src/cli names flags of the command line", () => {
    const below = sources("src").filter(({ path }) => !path.startsWith("src/cli/") && !path.endsWith(".test.ts"));
    const named = below.flatMap((file) => {
      const flags = flagsIn(file).filter((flag) => !foreign[file.path]?.includes(flag));
      return flags.length > 0 ? [{ path: file.path, flags }] : [];
    });
    expect(named).toEqual([]);
    expect(
      flagsIn(sources("src/cli").find(({ path }) => path.endsWith("generation-options.ts")) as SourceFile),
    ).toContain("--stride");
  });

  it("hints of errors are sentences, with a full stop", () => {
    const hintsOf = (text: string) => [...text.matchAll(/\bhint: "([^"]+)"/g)].map(([, hint = ""]) => hint);
    const files = sources("src").filter(({ path }) => !path.endsWith(".test.ts"));
    const unfinished = files.flatMap(({ path, text }) =>
      hintsOf(text)
        .filter((hint) => !/[.?]$/.test(hint))
        .map((hint) => `${path}: ${hint}`),
    );
    expect(unfinished).toEqual([]);
    expect(files.flatMap(({ text }) => hintsOf(text)).length).toBeGreaterThan(20);
  });

  it("every source that a comment or a page names exists", () => {
    expect(pathsIn("see native/src/a/b.h, `src/c.test.ts` and dist/src/d.ts")).toEqual([
      "native/src/a/b.h",
      "src/c.test.ts",
    ]);
    const pages = ["README.md", "CONTRIBUTING.md"].map((path) => ({
      path,
      text: readFileSync(join(root, path), "utf8"),
    }));
    const files = ["src", "scripts", "docs", "native/src", "bench"].flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
        .filter((name) => /\.(ts|js|mjs|md|h|cpp|py)$/.test(name))
        .map((name) => ({ path: join(folder, name), text: readFileSync(join(root, folder, name), "utf8") })),
    );
    const missing = [...pages, ...files].flatMap(({ path, text }) =>
      pathsIn(text).flatMap((named) => (existsSync(join(root, named)) ? [] : [{ path, named }])),
    );
    expect(missing).toEqual([]);
  });
});

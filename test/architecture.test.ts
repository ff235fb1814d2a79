import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { fencesOf, root } from "./support/doc-examples.ts";

const PAGE = "docs/architecture.md";
const src = join(root, "src");

/** The node of a file: its folder below src, or the file itself. Undefined for src/errors.ts, which any file may import. */
function nodeOf(path: string): string | undefined {
  const [first = "", ...rest] = relative(src, path).split(sep);
  const node = rest.length > 0 ? first : first.replace(/\.ts$/, "");
  return node === "errors" ? undefined : node;
}

/** Edges "a b" between nodes of src whose files import each other, without tests. */
function importEdges(): Set<string> {
  const edges = new Set<string>();
  const files = readdirSync(src, { recursive: true, encoding: "utf8" });
  for (const file of files.filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))) {
    const path = join(src, file);
    const { importedFiles } = ts.preProcessFile(readFileSync(path, "utf8"));
    for (const { fileName } of importedFiles) {
      const [from, to] = [nodeOf(path), fileName.startsWith(".") ? join(dirname(path), fileName) : undefined];
      if (to === undefined || !to.startsWith(src + sep)) continue;
      const target = nodeOf(to);
      if (from !== undefined && target !== undefined && from !== target) edges.add(`${from} ${target}`);
    }
  }
  return edges;
}

/** Edges of a Mermaid flowchart with lines `a["label"] --> b & c`, by arrow. */
function pictureEdges(body: string): { readonly solid: Set<string>; readonly dotted: Set<string> } {
  const edges = { solid: new Set<string>(), dotted: new Set<string>() };
  for (const line of body.trim().split("\n").slice(1)) {
    const [, from, arrow, targets] = /^ {2}(\w+)(?:\["[^"]*"\])? (-->|-\.->) ([\w &]+)$/.exec(line) ?? [];
    if (from === undefined || targets === undefined) throw new Error(`not an edge of the picture: ${line}`);
    for (const to of targets.split(" & ")) (arrow === "-->" ? edges.solid : edges.dotted).add(`${from} ${to}`);
  }
  return edges;
}

/** The transitive reduction: edges without a longer path. */
function reduced(edges: ReadonlySet<string>): Set<string> {
  const next = new Map<string, string[]>();
  for (const edge of edges) {
    const [from = "", to = ""] = edge.split(" ");
    next.set(from, [...(next.get(from) ?? []), to]);
  }
  const reaches = (from: string, to: string): boolean =>
    (next.get(from) ?? []).some((step) => step === to || reaches(step, to));
  return new Set(
    [...edges].filter((edge) => {
      const [from = "", to = ""] = edge.split(" ");
      return !(next.get(from) ?? []).some((step) => step !== to && reaches(step, to));
    }),
  );
}

const sorted = (set: Iterable<string>) => [...set].toSorted();

describe(PAGE, () => {
  const [picture] = fencesOf(PAGE).filter(({ info }) => info === "mermaid");
  const { solid, dotted } = pictureEdges(picture?.body ?? "");

  it("has a picture of exactly the imports between the folders of src", () => {
    expect(sorted([...solid, ...dotted])).toEqual(sorted(importEdges()));
  });

  it("draws solid arrows to the next layer and dotted ones past it", () => {
    expect(sorted(solid)).toEqual(sorted(reduced(importEdges())));
    expect(dotted.size).toBeGreaterThan(0);
  });

  it("lists the folders of src", () => {
    const folders = readdirSync(src, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll(sep, "/"));
    const listed = [...readFileSync(join(root, PAGE), "utf8").matchAll(/^\| `(src\/[\w/]+)` \| /gm)].map(
      (match) => match[1] ?? "",
    );
    expect(listed.toSorted()).toEqual(folders.toSorted());
  });

  it("names only folders that exist", () => {
    const text = readFileSync(join(root, PAGE), "utf8");
    for (const [, path = ""] of text.matchAll(/`((?:src|native\/src)\/[\w/.]+)`/g))
      expect(() => readdirSync(dirname(join(root, path))), path).not.toThrow();
  });
});

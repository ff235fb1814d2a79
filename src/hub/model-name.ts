import { existsSync } from "node:fs";
import { IdlmError } from "../errors.ts";
import { quote } from "../formats/files/malformed.ts";
import { type CatalogueEntry, catalogueHint, findEntry } from "./catalogue.ts";
import { isSafePath } from "./store/safe-path.ts";

/** A repository of the hub, or one file of it. */
export interface HubName {
  readonly kind: "hub";
  /** ORG/REPO. */
  readonly repository: string;
  /** A file's path in the repository, or a part of its name that tells the quantisation (Q4_K_M). */
  readonly selector: string | undefined;
}

/** What has a place in the cache. */
export type NamedModel = { readonly kind: "catalogue"; readonly entry: CatalogueEntry } | HubName;

/** What a user's MODEL may mean. */
export type ModelName = NamedModel | { readonly kind: "path"; readonly path: string };

const hubPattern = /^([A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95})(?::(.*))?$/s;
/** Without a FILE such a name is a path with a mistake in it rather than a repository. */
const fileLike = /\.(?:gguf|safetensors|json|bin|pt|pth)$/i;

/**
 * Reads MODEL: a name of the catalogue; else a path, if there is something (or can be nothing else); else ORG/REPO or
 * ORG/REPO:FILE. So ./NAME is always a path. Errors: "usage" for a FILE that can be none.
 */
export function parseModelName(text: string): ModelName {
  const entry = findEntry(text);
  if (entry !== undefined) return { kind: "catalogue", entry };
  const [, repository = "", selector] = hubPattern.exec(text) ?? [];
  const isPath = repository === "" || repository.includes("..") || (selector === undefined && fileLike.test(text));
  if (isPath || existsSync(text)) return { kind: "path", path: text };
  if (selector !== undefined && !isSafePath(selector)) {
    const problem = `${quote(selector)} is no file of a repository`;
    throw new IdlmError("usage", { problem, hint: "Write ORG/REPO:FILE, with the file's path in the repository." });
  }
  return { kind: "hub", repository, selector };
}

/** As a person writes it. */
export function nameText({ repository, selector }: Omit<HubName, "kind">): string {
  return selector === undefined ? repository : `${repository}:${selector}`;
}

/** The name of a model in the cache. */
export function textOf(name: NamedModel): string {
  return name.kind === "catalogue" ? name.entry.name : nameText(name);
}

/** What to say to somebody who named something that is neither. */
export function nameHint(): string {
  return `${catalogueHint()} A repository of the hub is written ORG/REPO or ORG/REPO:FILE.`;
}

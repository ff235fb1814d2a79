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
  /** A file's path in the repository, or the quantisation in its name (Q4_K_M). */
  readonly selector: string | undefined;
}

/** A model that can be in the cache. */
export type NamedModel = { readonly kind: "catalogue"; readonly entry: CatalogueEntry } | HubName;

/** A parsed MODEL argument. */
export type ModelName = NamedModel | { readonly kind: "path"; readonly path: string };

const hubPattern = /^([A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95})(?::(.*))?$/s;
/** A name like this without a FILE is more likely a mistyped path than a repository. */
const fileLike = /\.(?:gguf|safetensors|json|bin|pt|pth)$/i;

/**
 * Parses MODEL: a catalogue name; else a path, if it exists or has no form of a repository name; else ORG/REPO or
 * ORG/REPO:FILE. ./NAME is always a path. Errors: "usage" for an invalid FILE.
 */
export function parseModelName(text: string): ModelName {
  const entry = findEntry(text);
  if (entry !== undefined) return { kind: "catalogue", entry };
  const [, repository = "", selector] = hubPattern.exec(text) ?? [];
  const isPath = repository === "" || repository.includes("..") || (selector === undefined && fileLike.test(text));
  if (isPath || existsSync(text)) return { kind: "path", path: text };
  if (selector !== undefined && !isSafePath(selector)) {
    const problem = `${quote(selector)} is not a valid path in a repository`;
    throw new IdlmError("usage", { problem, hint: "Write ORG/REPO:FILE, with the file's path in the repository." });
  }
  return { kind: "hub", repository, selector };
}

/** Whether MODEL names a file or a folder. Errors: those of `parseModelName`. */
export function isModelPath(text: string): boolean {
  return parseModelName(text).kind === "path";
}

/** ORG/REPO or ORG/REPO:FILE. */
export function nameText({ repository, selector }: Omit<HubName, "kind">): string {
  return selector === undefined ? repository : `${repository}:${selector}`;
}

/** The name of a model in the cache. */
export function textOf(name: NamedModel): string {
  return name.kind === "catalogue" ? name.entry.name : nameText(name);
}

/** Hint for a name that is neither in the catalogue nor a path. */
export function nameHint(): string {
  return `${catalogueHint()} Name a repository of the hub as ORG/REPO or ORG/REPO:FILE.`;
}

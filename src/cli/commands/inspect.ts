import { existsSync } from "node:fs";
import { relative, resolve } from "node:path";
import type { Command } from "commander";
import { escapeControls } from "../../errors.ts";
import type { GgufValue } from "../../formats/gguf/gguf.ts";
import { locateUnchecked } from "../../hub/index.ts";
import { type Inspection, inspectPath } from "../../model/open/inspect.ts";
import { addCommonOptions, type Cli, examples, printJson } from "../cli.ts";
import { grouped, table } from "../terminal/style.ts";

/** `idlm inspect`: shows what a file or folder contains. */
export function registerInspect(program: Command, cli: Cli): void {
  addCommonOptions(program.command("inspect"))
    .summary("show the contents of a model, an adapter or a file of tensors")
    .description(
      "Prints metadata and tensors of a model, an adapter, or one GGUF or safetensors file. Reads only headers, so it is " +
        "fast whatever the size. The exit status is 0 if the files are valid, also for a kind that cannot be run; otherwise " +
        "the error follows after the metadata that could be read.",
    )
    .argument("<path>", "a GGUF or safetensors file, a model or adapter folder, or a model's name as in run")
    .option("--json", "print only the metadata and tensors, as JSON")
    .addHelpText(
      "after",
      examples(
        "idlm inspect model.gguf",
        "idlm inspect folder --json",
        "idlm inspect adapter",
        "idlm inspect model.safetensors",
      ),
    )
    .action((path: string, options: { readonly json?: boolean }) => {
      const inspection = inspectPath(existsSync(path) ? path : locateUnchecked(path));
      if (options.json) printJson(cli, jsonOf(inspection));
      else cli.io.stdout.write(textOf(inspection, cli.io.isVerbose));
      if (inspection.problem !== undefined && !isValid(inspection)) throw inspection.problem;
    });
}

function isValid({ problem }: Inspection): boolean {
  return problem === undefined || problem.code === "unsupported";
}

interface TypeSum {
  readonly type: string;
  tensors: number;
  parameters: number;
  bytes: number;
}

/** Totals by type, largest first. */
function sumsOf({ tensors }: Inspection): TypeSum[] {
  const sums = new Map<string, TypeSum>();
  for (const { type, shape, nBytes } of tensors) {
    const sum = sums.get(type) ?? { type, tensors: 0, parameters: 0, bytes: 0 };
    sum.tensors++;
    sum.parameters += shape.reduce((product, n) => product * n, 1);
    sum.bytes += nBytes;
    sums.set(type, sum);
  }
  return [...sums.values()].sort((a, b) => b.bytes - a.bytes);
}

/** Longer arrays in the metadata (a vocabulary, its merges) are given as their length and first entries. */
const MAX_JSON_ENTRIES = 16;

/** Values that are not JSON numbers become strings: 64-bit integers beyond 2^53, NaN and infinities. */
function jsonValue(value: GgufValue): unknown {
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (typeof value !== "object") return value;
  const entries = Array.from(value.slice(0, MAX_JSON_ENTRIES) as ArrayLike<GgufValue>, jsonValue);
  return value.length <= MAX_JSON_ENTRIES ? entries : { length: value.length, first: entries };
}

function jsonOf(inspection: Inspection) {
  const { path, kind, format, files, model, tokenizer, adapter, metadata, tensors, problem } = inspection;
  const sums = sumsOf(inspection);
  return {
    path,
    kind,
    format,
    whole: isValid(inspection),
    ...(problem && { problem: { code: problem.code, message: problem.message } }),
    bytes: files.reduce((sum, { nBytes }) => sum + nBytes, 0),
    parameters: sums.reduce((sum, { parameters }) => sum + parameters, 0),
    ...(model && { model }),
    ...(adapter && { adapter }),
    ...(tokenizer && { tokenizer }),
    files: files.map(({ path: file, nBytes }) => ({ path: file, bytes: nBytes })),
    metadata: Object.fromEntries([...metadata].map(([key, value]) => [key, jsonValue(value)])),
    types: sums,
    tensors: tensors.map(({ nBytes, ...tensor }) => ({ ...tensor, bytes: nBytes })),
  };
}

/** Longest value shown without --verbose. */
const MAX_SHOWN = 60;

function shown(value: GgufValue, isVerbose: boolean): string {
  if (typeof value === "object") {
    const entries = Array.from(value.slice(0, isVerbose ? value.length : 4) as ArrayLike<GgufValue>, (entry) =>
      shown(entry, isVerbose),
    );
    const more = entries.length < value.length ? `, … (${grouped(value.length)})` : "";
    return `[${entries.join(", ")}${more}]`;
  }
  if (typeof value !== "string") return String(value);
  const isCut = !isVerbose && value.length > MAX_SHOWN;
  return escapeControls(isCut ? `${value.slice(0, MAX_SHOWN).toWellFormed()}…` : value);
}

function textOf(inspection: Inspection, isVerbose: boolean): string {
  const { path, kind, format, files, model, tokenizer, adapter, metadata, tensors, problem } = inspection;
  const sums = sumsOf(inspection);
  const nBytes = files.reduce((sum, file) => sum + file.nBytes, 0);
  const parameters = sums.reduce((sum, type) => sum + type.parameters, 0);
  const facts: (readonly [string, string])[] = [
    ["path", escapeControls(path)],
    ["kind", `${kind}, ${format}`],
    ["size", `${grouped(nBytes)} bytes${files.length === 1 ? "" : ` in ${files.length} files`}`],
    ["tensors", `${grouped(tensors.length)}, ${grouped(parameters)} parameters`],
    ...sums.map((sum) => [`  ${sum.type}`, `${grouped(sum.tensors)}, ${grouped(sum.bytes)} bytes`] as const),
    ...linesOf({ ...model }, isVerbose),
    ...linesOf({ ...adapter }, isVerbose),
  ];
  if (tokenizer !== undefined) {
    const { model: name, pre, nTokens, nMerges, hasChatTemplate } = tokenizer;
    const parts = [
      pre === undefined ? name : `${name}, ${pre}`,
      `${grouped(nTokens)} tokens`,
      ...(nMerges === undefined ? [] : [`${grouped(nMerges)} merges`]),
      hasChatTemplate ? "chat template" : "no chat template",
    ];
    facts.push(["tokenizer", escapeControls(parts.join(", "))]);
  }
  if (problem !== undefined) facts.push([isValid(inspection) ? "cannot be run" : "problem", problem.message]);
  const width = Math.max(...facts.map(([name]) => name.length)) + 2;
  const keys = [...metadata].map(([key, value]) => `${escapeControls(key)} = ${shown(value, isVerbose)}\n`);
  const rows = tensors.map(({ name, type, shape, nBytes: bytes, file, offset }) => {
    const location = files.length === 1 ? String(offset) : `${escapeControls(relativeTo(path, file))} ${offset}`;
    return [escapeControls(name), type, `[${shape.join(", ")}]`, grouped(bytes), ...(isVerbose ? [location] : [])];
  });
  return [
    ...facts.map(([name, value]) => `${name.padEnd(width)}${value}\n`),
    ...(keys.length === 0 ? [] : ["\n", ...keys]),
    rows.length === 0
      ? ""
      : `\n${table([["tensor", "type", "shape", "bytes", ...(isVerbose ? ["offset"] : [])], ...rows])}`,
  ].join("");
}

function relativeTo(path: string, file: string): string {
  return relative(resolve(path), resolve(file)).replace(/^\.\.[\\/]/, "");
}

/** Uses the names of the JSON. */
function linesOf(facts: Readonly<Record<string, unknown>>, isVerbose: boolean): (readonly [string, string])[] {
  return Object.entries(facts).map(([name, value]) => {
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    return [name, shown(text, isVerbose)];
  });
}

import { optionFlag } from "../../src/cli/options/flag-names.ts";
import { samplingSettingNames, samplingSettings } from "../../src/compute/sampling/settings.ts";
import { shapeNames, shapes } from "../../src/decoding/planners/shapes.ts";
import { proposerKinds, proposers, requirementOf } from "../../src/decoding/proposers/registry.ts";
import { errorCatalogue } from "../../src/errors.ts";
import { formats } from "../../src/grammar/schema/formats.ts";
import { schemaKeywords } from "../../src/grammar/schema/keywords.ts";

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(" | ")} |`;
  return [line(head), `|${"---|".repeat(head.length)}`, ...rows.map(line)].join("\n");
}

function proposersTable(): string {
  const rows = proposerKinds.map((kind) => {
    const required = requirementOf(kind);
    const requires = required === undefined ? "–" : `${required.what} (\`${optionFlag(required.key)}\`)`;
    return [`\`${kind}\``, proposers[kind].description, requires];
  });
  const none = ["`none`", "none: plain decoding", "–"];
  const auto = ["`auto` (default)", "all available proposers, in one tree", "–"];
  return table(["`--propose`", "source of the proposals", "requires"], [...rows, none, auto]);
}

function shapesTable(): string {
  const nameOf = (shape: string) => (shape === "auto" ? "`auto` (default)" : `\`${shape}\``);
  const rows = shapeNames.map((shape) => [nameOf(shape), shapes[shape].description, shapes[shape].defaultStride]);
  return table(["`--shape`", "rows of a round", "default stride"], rows);
}

function samplingTable(): string {
  const rows = samplingSettingNames.map((name) => {
    const { symbol, help, neutral } = samplingSettings[name];
    return [`\`${optionFlag(name)} <${symbol}>\``, `\`${name}\``, help, neutral];
  });
  return table(["option", "library", "meaning", "default"], rows);
}

function errorsTable(): string {
  const rows = Object.entries(errorCatalogue).map(([code, { exit, http, message }]) => [
    `\`${code}\``,
    exit,
    http,
    message,
  ]);
  return table(["code", "exit status", "HTTP status", "message"], rows);
}

function keywordsTable(): string {
  const rows = Object.entries(schemaKeywords).map(([name, keyword]: [string, { treatment: string; note?: string }]) => [
    `\`${name}\``,
    keyword.treatment,
    keyword.note ?? "",
  ]);
  return table(["keyword", "treatment", "note"], rows);
}

function formatsTable(): string {
  const rows = Object.entries(formats).map(([name, regex]) => [`\`${name}\``, `\`${regex.replaceAll("|", "\\|")}\``]);
  return table(["format", "regular expression"], rows);
}

/** Tables of the documentation that are derived from the code, by the name in their markers. */
export const docsTables: Readonly<Record<string, () => string>> = {
  proposers: proposersTable,
  shapes: shapesTable,
  sampling: samplingTable,
  errors: errorsTable,
  keywords: keywordsTable,
  formats: formatsTable,
};

/** A page with its tables as the code has them: the text between `<!-- table NAME… -->` and `<!-- end of table -->`. */
export function withTables(page: string): { readonly text: string; readonly names: readonly string[] } {
  const names: string[] = [];
  const marked = /(<!-- table (\w+)[^>]*-->\n)[\s\S]*?(<!-- end of table -->)/g;
  const text = page.replace(marked, (_, begin: string, name: string, end: string) => {
    const make = docsTables[name];
    if (make === undefined) throw new Error(`no table ${name}`);
    names.push(name);
    return `${begin}\n${make()}\n\n${end}`;
  });
  return { text, names };
}

import { join } from "node:path";
import { build } from "vite";

let page: Promise<string> | undefined;

/** The playground as `npm run build` makes it, built once per test file and not written. */
export function playgroundPage(): Promise<string> {
  page ??= buildPage();
  return page;
}

async function buildPage(): Promise<string> {
  const configFile = join(import.meta.dirname, "../../web/vite.config.ts");
  const result = await build({ configFile, logLevel: "error", build: { write: false } });
  const outputs = (Array.isArray(result) ? result : [result]).flatMap((one) => ("output" in one ? one.output : []));
  const [html] = outputs.flatMap((file) => (file.type === "asset" ? [String(file.source)] : []));
  if (html === undefined || outputs.length !== 1) throw new Error(`expected one file, found ${outputs.length}`);
  return html;
}

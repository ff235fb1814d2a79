import type { LoadOptions, Model } from "./types.ts";

export async function load(model: string, options: LoadOptions = {}): Promise<Model> {
  throw new Error(`not yet: ${model} ${Object.keys(options).join()}`);
}

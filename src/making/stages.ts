/** Stages of a make, in order. */
export const stageNames = ["machine", "write", "settings", "train", "verify", "bench"] as const;
export type StageName = (typeof stageNames)[number];

/** What each stage does, for a person. */
export const stageTitles: Readonly<Record<StageName, string>> = {
  machine: "measure this machine",
  write: "write training text",
  settings: "try settings",
  train: "train the adapter",
  verify: "check that the bytes are the same",
  bench: "measure decoding",
};

/** Settings of a make, fixed when it begins. */
export interface MakeSettings {
  /** Time for everything, in hours of work. */
  readonly hours: number;
  readonly seed: number;
  /** SHA-256 of the file of prompts; absent: prompts as of `idlm write`. */
  readonly promptsSha256?: string;
}

export const makeDefaults = { hours: 4, seed: 0 } as const satisfies Partial<MakeSettings>;

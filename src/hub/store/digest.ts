import { createHash, type Hash } from "node:crypto";

/**
 * Expected digest of a file: its SHA-256, or its git object name ("git-sha1": SHA-1 of "blob LENGTH\0" and the content,
 * https://git-scm.com/book/en/v2/Git-Internals-Git-Objects), which is all that the hub gives for files outside of its
 * large file storage.
 */
export interface Digest {
  readonly algorithm: "sha256" | "git-sha1";
  /** Lower-case hexadecimal. */
  readonly hex: string;
}

const hexLength = { sha256: 64, "git-sha1": 40 } as const;
const names = { sha256: "SHA-256", "git-sha1": "git's SHA-1" } as const;

/** The algorithm's name in messages. */
export function algorithmName({ algorithm }: Digest): string {
  return names[algorithm];
}

/** Undefined if the two are not a valid digest. */
export function parseDigest(algorithm: unknown, hex: unknown): Digest | undefined {
  if (algorithm !== "sha256" && algorithm !== "git-sha1") return undefined;
  if (typeof hex !== "string" || hex.length !== hexLength[algorithm] || !/^[0-9a-f]+$/.test(hex)) return undefined;
  return { algorithm, hex };
}

/** A hasher for content of `nBytes`. */
export function createHasher({ algorithm }: Digest, nBytes: number): Hash {
  return algorithm === "sha256" ? createHash("sha256") : createHash("sha1").update(`blob ${nBytes}\0`);
}

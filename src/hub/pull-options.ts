import type { HubTiming } from "./huggingface/client.ts";
import type { PipOptions } from "./pip/pip.ts";
import type { LockTiming } from "./store/lock.ts";

export interface PullProgress {
  readonly stage: "verify" | "download" | "extract";
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface PullOptions {
  /** A branch, tag or commit of a repository (default: main). Not valid for a catalogue name. */
  readonly revision?: string | undefined;
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
  /** Receives a message when the pull waits, or uses a cached copy. */
  readonly onNotice?: ((sentence: string) => void) | undefined;
  /** An abort stops all work and throws the signal's reason; partial downloads from a repository are kept. */
  readonly signal?: AbortSignal | undefined;
  /** Default: `cacheFolder()`. */
  readonly cache?: string | undefined;
  /** For the hub's address, token and proxies (default: the process environment). */
  readonly environment?: NodeJS.ProcessEnv | undefined;
  /** Commands to run as pip. @internal */
  readonly pipCommands?: PipOptions["commands"];
  /** Shorter waits, for tests. @internal */
  readonly timing?: Partial<HubTiming & LockTiming> | undefined;
}

import type { HubTiming } from "./huggingface/client.ts";
import type { PipOptions } from "./pip/pip.ts";
import type { LockTiming } from "./store/lock.ts";

export interface PullProgress {
  readonly stage: "verify" | "download" | "extract";
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface PullOptions {
  /** A branch, a tag or a commit of a repository; default: main. Not for a name of the catalogue. */
  readonly revision?: string | undefined;
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
  /** Told in a sentence what is waited for. */
  readonly onNotice?: ((sentence: string) => void) | undefined;
  /** An abort ends all work and throws the signal's reason; what came of a repository's files stays for the next time. */
  readonly signal?: AbortSignal | undefined;
  /** Where models lie; else as `cacheFolder` says. */
  readonly cache?: string | undefined;
  /** For the hub's address, token and proxies; default: the process's. */
  readonly environment?: NodeJS.ProcessEnv | undefined;
  /** What is run as pip. @internal */
  readonly pipCommands?: PipOptions["commands"];
  /** Waits, for tests. @internal */
  readonly timing?: Partial<HubTiming & LockTiming> | undefined;
}

import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { IdlmError } from "../../errors.ts";

/** Characters of a key's hash that name it in the log and in limits; keys themselves are never kept there. */
const NAME_LENGTH = 16;

/** The keys that give access. */
export class Keys {
  readonly #hashes: readonly Buffer[];

  constructor(keys: readonly string[]) {
    this.#hashes = keys.map(hashOf);
  }

  /**
   * The name of the request's key, a part of its hash; "": none is needed. Compares with every key, hashes of one length, so
   * that the time says nothing of any key. @throws IdlmError "unauthorized".
   */
  check(headers: IncomingHttpHeaders): string {
    if (this.#hashes.length === 0) return "";
    const key = keyOf(headers);
    if (key === undefined) {
      throw new IdlmError("unauthorized", {
        problem: "no API key was sent",
        hint: "Send it as Authorization: Bearer KEY, or as x-api-key: KEY.",
      });
    }
    const hash = hashOf(key);
    let isKnown = false;
    for (const known of this.#hashes) isKnown = timingSafeEqual(known, hash) || isKnown;
    if (!isKnown)
      throw new IdlmError("unauthorized", { problem: "the API key is not valid", hint: "Send another one." });
    return hash.toString("hex").slice(0, NAME_LENGTH);
  }
}

/** As the clients of OpenAI, Anthropic and Azure send it. */
function keyOf({ authorization, "x-api-key": anthropic, "api-key": azure }: IncomingHttpHeaders): string | undefined {
  const [, bearer] = /^bearer +(\S+) *$/i.exec(authorization ?? "") ?? [];
  const own = [anthropic, azure].find((key) => typeof key === "string");
  return bearer ?? (typeof own === "string" ? own : undefined);
}

function hashOf(key: string): Buffer {
  return createHash("sha256").update(key, "utf8").digest();
}

import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import { IdlmError } from "../../errors.ts";
import type { Exchange } from "../exchange.ts";
import type { ServeSettings } from "../settings.ts";

const SECONDS = 60;

/** Limits of what one key may ask for in a minute; without keys, of what one address may. */
export class RateLimits {
  readonly #requests: RateLimiterMemory | undefined;
  readonly #tokens: RateLimiterMemory | undefined;

  constructor({ requestsPerMinute, tokensPerMinute }: Pick<ServeSettings, "requestsPerMinute" | "tokensPerMinute">) {
    this.#requests = limiter(requestsPerMinute);
    this.#tokens = limiter(tokensPerMinute);
  }

  /**
   * Counts a request. Its tokens are counted when they are known, so that the last request before the limit may exceed it.
   * @throws IdlmError "rate-limited".
   */
  async admit(exchange: Exchange): Promise<void> {
    const key = exchange.share === "" ? (exchange.incoming.socket.remoteAddress ?? "") : exchange.share;
    const spent = await this.#tokens?.get(key);
    if (this.#tokens !== undefined && spent !== undefined && spent !== null && spent.remainingPoints <= 0) {
      refuse(exchange, this.#tokens.points, "tokens", spent);
    }
    try {
      await this.#requests?.consume(key);
    } catch (reason) {
      if (!(reason instanceof RateLimiterRes)) throw reason;
      refuse(exchange, this.#requests?.points ?? 0, "requests", reason);
    }
    exchange.spend = (nTokens) => void this.#tokens?.penalty(key, nTokens);
  }
}

function limiter(points: number | undefined): RateLimiterMemory | undefined {
  return points === undefined ? undefined : new RateLimiterMemory({ points, duration: SECONDS });
}

function refuse(exchange: Exchange, max: number, what: string, { msBeforeNext }: RateLimiterRes): never {
  const seconds = Math.max(1, Math.ceil(msBeforeNext / 1000));
  exchange.retryAfterSeconds = seconds;
  throw new IdlmError("rate-limited", { max, what: `${what} in a minute`, seconds });
}

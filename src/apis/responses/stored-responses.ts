import type { ChatMessage } from "../../engine/types.ts";

/** A response as clients see it. */
export type ResponseObject = { readonly id: string } & Readonly<Record<string, unknown>>;

/** A response with what a later one needs to continue it. */
export interface StoredResponse {
  readonly response: ResponseObject;
  /** Messages of the input and the output, without instructions. */
  readonly messages: readonly ChatMessage[];
  /** The response that it continues. */
  readonly previous: string | undefined;
  /** Key or tenant that may see it. */
  readonly owner: string;
}

const MAX_RESPONSES = 1_000;
/** UTF-16 units of all stored responses as JSON. */
const MAX_LENGTH = 2 ** 26;

/**
 * Responses of one server, in memory. The ones used longest ago are dropped when there are too many. Using a response
 * uses those that it continues, too.
 */
export class StoredResponses {
  readonly #byId = new Map<string, { readonly stored: StoredResponse; readonly length: number }>();
  readonly #maxResponses: number;
  readonly #maxLength: number;
  #length = 0;

  constructor(maxResponses = MAX_RESPONSES, maxLength = MAX_LENGTH) {
    this.#maxResponses = maxResponses;
    this.#maxLength = maxLength;
  }

  add(stored: StoredResponse): void {
    const { id } = stored.response;
    this.#drop(id);
    const length = JSON.stringify(stored).length;
    this.#byId.set(id, { stored, length });
    this.#length += length;
    for (const oldest of this.#byId.keys()) {
      if (this.#byId.size <= this.#maxResponses && this.#length <= this.#maxLength) break;
      this.#drop(oldest);
    }
  }

  get(id: string, owner: string): StoredResponse | undefined {
    const entry = this.#byId.get(id);
    return entry?.stored.owner === owner ? entry.stored : undefined;
  }

  /** An item of the output of a response. */
  item(id: string, owner: string): unknown {
    const [, response = "", index = ""] = /^[a-z]+_(\w{32})(\d+)$/.exec(id) ?? [];
    const output = this.get(`resp_${response}`, owner)?.response.output as
      | readonly { readonly id: string }[]
      | undefined;
    const item = output?.[Number(index)];
    return item?.id === id ? item : undefined;
  }

  /** Whether there was one. */
  delete(id: string, owner: string): boolean {
    return this.get(id, owner) !== undefined && this.#drop(id);
  }

  /** All messages up to the end of a response. Undefined: it or one that it continues is not stored. */
  conversation(id: string, owner: string): readonly ChatMessage[] | undefined {
    const chain: StoredResponse[] = [];
    for (let next: string | undefined = id; next !== undefined; ) {
      const stored = this.get(next, owner);
      if (stored === undefined) return undefined;
      chain.unshift(stored);
      next = stored.previous;
    }
    for (const { response } of chain) this.#use(response.id);
    return chain.flatMap(({ messages }) => messages);
  }

  #use(id: string): void {
    const entry = this.#byId.get(id);
    if (entry === undefined) return;
    this.#byId.delete(id);
    this.#byId.set(id, entry);
  }

  #drop(id: string): boolean {
    this.#length -= this.#byId.get(id)?.length ?? 0;
    return this.#byId.delete(id);
  }
}

/**
 * The catalogue of errors: code, exit status of the command line, HTTP status, and a message template in which `{name}`
 * is replaced by the parameter of that name. docs/errors.md lists them. HTTP statuses 400 to 499 are errors that the
 * client can correct; errors that only the operator can correct are 500.
 */
export const errorCatalogue = {
  // exit 2: the command line or a request is wrong
  usage: { exit: 2, http: 400, message: "{problem}. {hint}" },
  // exit 2, too: requests to the server that it refuses
  unauthorized: { exit: 2, http: 401, message: "{problem}. {hint}" },
  forbidden: { exit: 2, http: 403, message: "{problem}. {hint}" },
  "path-not-found": { exit: 2, http: 404, message: "{path}: no such path. GET /openapi.json lists the paths." },
  "model-not-found": {
    exit: 2,
    http: 404,
    message: "the model {model} is not served here. GET /v1/models lists the models.",
  },
  "response-not-found": {
    exit: 2,
    http: 404,
    message: "no response {id} is stored. Responses are kept in memory while there is room, and not with store: false.",
  },
  "method-not-allowed": { exit: 2, http: 405, message: "{path}: {method} is not possible. Use {expected}." },
  "body-too-large": {
    exit: 2,
    http: 413,
    message: "the body is longer than {max} bytes. Send less, or in several requests.",
  },
  "encoding-unknown": {
    exit: 2,
    http: 415,
    message: "the content-encoding {encoding} is not supported. Use gzip, deflate or br, or send the body as it is.",
  },
  "not-offered": { exit: 2, http: 501, message: "{path}: not supported by this server. {hint}" },
  // exit 3: a file is missing, malformed, not writable or not supported
  "file-missing": { exit: 3, http: 500, message: "{path}: no such file or folder. {hint}" },
  "file-unreadable": { exit: 3, http: 500, message: "{path}: cannot be read: {reason}." },
  "file-unwritable": { exit: 3, http: 500, message: "{path}: cannot be written: {reason}." },
  "file-malformed": { exit: 3, http: 500, message: "{path}: {field}: expected {expected}, found {found}." },
  unsupported: { exit: 3, http: 500, message: "{path}: {feature} is not supported. {hint}" },
  // exit 4: two inputs do not fit each other
  "adapter-mismatch": { exit: 4, http: 500, message: "{adapter}: does not fit the model {model}: {reason}." },
  "draft-mismatch": { exit: 4, http: 500, message: "{draft}: cannot draft for the model {model}: {reason}." },
  "data-mismatch": { exit: 4, http: 500, message: "{data}: does not fit the model {model}: {reason}. {hint}" },
  "run-mismatch": { exit: 4, http: 500, message: "{path}: holds another run: {reason}. {hint}" },
  "stride-too-long": {
    exit: 4,
    http: 400,
    message: "stride {stride} needs {needed} MASK depths, the adapter {adapter} has {depths}. {hint}",
  },
  // exit 5: not enough memory, context or queue
  "context-too-long": {
    exit: 5,
    http: 400,
    message: "{nTokens} tokens do not fit into the context of {context}. {hint}",
  },
  memory: {
    exit: 5,
    http: 503,
    message: "about {needed} MB of memory needed, {available} MB available. Lower {what}.",
  },
  "queue-full": { exit: 5, http: 429, message: "the queue is full: {max} requests are waiting. Try again later." },
  "rate-limited": { exit: 5, http: 429, message: "the limit of {max} {what} is reached. Try again in {seconds} s." },
  timeout: { exit: 5, http: 504, message: "the request took longer than {seconds} s. Ask for fewer tokens." },
  stopping: { exit: 5, http: 503, message: "the server is stopping. Try again later." },
  // exit 6: the network, a download, or the model cache
  download: { exit: 6, http: 502, message: "{name}: {reason}. {hint}" },
  checksum: {
    exit: 6,
    http: 500,
    message: "{path}: {algorithm} is {found}, expected {expected}. The file was not used. {hint}",
  },
  busy: { exit: 6, http: 503, message: "{name}: {reason}. {hint}" },
  // exit 7: a computation failed
  "not-finite": {
    exit: 7,
    http: 500,
    message: "the logits of position {position} are not finite. The model's weights are damaged or overflow.",
  },
  diverged: {
    exit: 7,
    http: 500,
    message: "step {step}: {what} is not finite. The training has diverged. {hint}",
  },
  "bytes-differ": {
    exit: 7,
    http: 500,
    message: "the outputs of {what} differ, but must be the same. Please report it with model, prompt and machine.",
  },
  // exit 7, too: what a client learns of an error whose message is for the operator
  "server-error": {
    exit: 7,
    http: 500,
    message: "the server could not do it ({code}). Its log has the reason, by the request id {id}.",
  },
  backend: { exit: 7, http: 500, message: "the backend {backend} is not available: {reason}. {hint}" },
} as const satisfies Record<string, { exit: number; http: number; message: string }>;

export type ErrorCode = keyof typeof errorCatalogue;

/**
 * Escapes control and format characters as in JSON, so that text from files, paths or models cannot control a terminal
 * or reorder a line.
 */
export function escapeControls(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}}`,
  );
}

/**
 * A key of a request or of `load` in a message. It has the library's name unless `IdlmError.messageWith` replaces it
 * (command line, HTTP API).
 */
export class KeyName {
  constructor(readonly name: string) {}
}

export function key(name: string): KeyName {
  return new KeyName(name);
}

/** Part of a message that contains key names. */
export class Phrase {
  constructor(readonly parts: readonly (string | KeyName)[]) {}

  /** With the library's names unless `names` has another: for a key, or for a key with the one in it ("grammar.schema"). */
  text(names: KeyNames): string {
    let nNamed = 0;
    let nameHasFile = false;
    const texts = this.parts.map((part, i) => {
      if (typeof part === "string") {
        const rest = part.slice(nNamed);
        nNamed = 0;
        // A path in a file is set apart: "--json-schema FILE: type", not a file "FILE.type".
        return nameHasFile && rest.startsWith(".") ? `: ${rest.slice(1)}` : rest;
      }
      const next = this.parts[i + 1];
      const [inner = ""] = typeof next === "string" ? (/^\.\w+/.exec(next) ?? []) : [];
      const both = inner === "" ? undefined : names[part.name + inner];
      nNamed = both === undefined ? 0 : inner.length;
      nameHasFile = both?.endsWith(" FILE") ?? false;
      return both ?? names[part.name] ?? part.name;
    });
    return texts.join("");
  }
}

/** A caller's names of keys, by the library's names. */
export type KeyNames = Readonly<Record<string, string>>;

/** phrase`${key("stride")}: …` */
export function phrase(
  strings: TemplateStringsArray,
  ...values: readonly (string | number | KeyName | Phrase)[]
): Phrase {
  const parts = values.flatMap((value, i) => {
    const inserted = value instanceof Phrase ? value.parts : [value instanceof KeyName ? value : String(value)];
    return [...inserted, strings[i + 1] ?? ""];
  });
  return new Phrase([strings[0] ?? "", ...parts].filter((part) => part !== ""));
}

type Parameters = Readonly<Record<string, string | number | Phrase>>;

/** Path of a value in a request: "messages[2].content", a key and what follows it. */
export function fieldPath(path: string): Phrase {
  const [name = ""] = /^\w*/.exec(path) ?? [];
  return phrase`${key(name)}${path.slice(name.length)}`;
}

/** An error as another thread gets it: phrases without their classes. */
export interface IdlmErrorData {
  readonly code: ErrorCode;
  readonly parameters: Readonly<
    Record<string, string | number | { readonly parts: readonly (string | { readonly name: string })[] }>
  >;
}

/** An error of the catalogue: `code`, `exitStatus` for the command line, `httpStatus` for a server. */
export class IdlmError extends Error {
  readonly code: ErrorCode;
  readonly exitStatus: number;
  readonly httpStatus: number;
  readonly #parameters: Parameters;

  constructor(code: ErrorCode, parameters: Parameters = {}, cause?: unknown) {
    super(messageOf(code, parameters, {}), cause === undefined ? undefined : { cause });
    this.name = "IdlmError";
    this.code = code;
    const { exit, http } = errorCatalogue[code];
    this.exitStatus = exit;
    this.httpStatus = http;
    this.#parameters = parameters;
  }

  /** The error that another thread sent. */
  static from({ code, parameters }: IdlmErrorData): IdlmError {
    const revived = Object.entries(parameters).map(([name, value]) => {
      if (typeof value !== "object") return [name, value] as const;
      const parts = value.parts.map((part) => (typeof part === "string" ? part : new KeyName(part.name)));
      return [name, new Phrase(parts)] as const;
    });
    return new IdlmError(code, Object.fromEntries(revived));
  }

  /** For `from`. */
  get data(): IdlmErrorData {
    return { code: this.code, parameters: this.#parameters };
  }

  /** The message with a caller's key names. */
  messageWith(names: KeyNames): string {
    return messageOf(this.code, this.#parameters, names);
  }

  /** Path of the invalid value in the request ("messages[2].content"), if known, with a caller's key names. */
  fieldWith(names: KeyNames): string | undefined {
    const { field } = this.#parameters;
    return field instanceof Phrase ? field.text(names) : undefined;
  }
}

function messageOf(code: ErrorCode, parameters: Parameters, names: KeyNames): string {
  const value = (name: string) => {
    const found = parameters[name] ?? "";
    return escapeControls(found instanceof Phrase ? found.text(names) : String(found));
  };
  return errorCatalogue[code].message.replace(/\{(\w+)\}/g, (_, name: string) => value(name)).trim();
}

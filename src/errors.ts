/**
 * The one catalogue of errors. Every error that a user can meet has a code, the exit status of the command line, the HTTP
 * status of a response, and a message template; `{name}` in a template is replaced by the parameter of that name.
 * docs/errors.md lists the same codes. An HTTP status from 400 to 499 means that the sender of a request can correct it;
 * errors that only whoever started the process can correct are 500.
 */
export const errorCatalogue = {
  // exit 2: the command line or a request is wrong
  usage: { exit: 2, http: 400, message: "{problem}. {hint}" },
  // exit 3: a file is missing, malformed, not writable or not supported
  "file-missing": { exit: 3, http: 500, message: "{path}: no such file or folder. {hint}" },
  "file-unreadable": { exit: 3, http: 500, message: "{path}: cannot be read: {reason}." },
  "file-unwritable": { exit: 3, http: 500, message: "{path}: cannot be written: {reason}." },
  "file-malformed": { exit: 3, http: 500, message: "{path}: {field}: expected {expected}, found {found}." },
  unsupported: { exit: 3, http: 500, message: "{path}: {feature} is not supported. {hint}" },
  // exit 4: two things do not fit together
  "adapter-mismatch": { exit: 4, http: 500, message: "{adapter}: does not fit the model {model}: {reason}." },
  "draft-mismatch": { exit: 4, http: 500, message: "{draft}: cannot draft for the model {model}: {reason}." },
  "data-mismatch": { exit: 4, http: 500, message: "{data}: does not fit the model {model}: {reason}. {hint}" },
  "run-mismatch": { exit: 4, http: 500, message: "{path}: holds another training run: {reason}. {hint}" },
  "stride-too-long": {
    exit: 4,
    http: 400,
    message: "stride {stride} needs {needed} MASK depths, the adapter {adapter} has {depths}. {hint}",
  },
  // exit 5: this machine or this model cannot hold the work
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
  "queue-full": { exit: 5, http: 429, message: "the queue is full: {most} requests are waiting. Try again later." },
  // exit 6: the network, a download, or the model cache
  download: { exit: 6, http: 502, message: "{name}: {reason}. {hint}" },
  checksum: {
    exit: 6,
    http: 500,
    message: "{path}: {algorithm} is {found}, expected {expected}. The file was not used. {hint}",
  },
  busy: { exit: 6, http: 503, message: "{name}: {reason}. {hint}" },
  // exit 7: computing failed
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
  backend: { exit: 7, http: 500, message: "the backend {backend} is not available: {reason}. {hint}" },
} as const satisfies Record<string, { exit: number; http: number; message: string }>;

export type ErrorCode = keyof typeof errorCatalogue;

/**
 * Control and format characters (terminals obey them, bidirectional ones reorder a line) as escapes of JSON, so that no
 * text of a file, a path or a model reaches a terminal as a command.
 */
export function escapeControls(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}}`,
  );
}

/**
 * A key of a request or of `load` in a message, by its name in the library. A caller with names of its own (command line,
 * HTTP API) puts them in with `IdlmError.messageWith`.
 */
export class KeyName {
  constructor(readonly name: string) {}
}

export function key(name: string): KeyName {
  return new KeyName(name);
}

/** A part of a message that contains names of keys. */
export class Phrase {
  constructor(readonly parts: readonly (string | KeyName)[]) {}

  /** With the library's names where `names` has no other. */
  text(names: KeyNames): string {
    return this.parts.map((part) => (typeof part === "string" ? part : (names[part.name] ?? part.name))).join("");
  }
}

/** A caller's names of keys, by their names in the library. */
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
  return new Phrase([strings[0] ?? "", ...parts]);
}

type Parameters = Readonly<Record<string, string | number | Phrase>>;

/** Where a value is in a request: "messages[2].content", a key and what follows it. */
export function fieldPath(path: string): Phrase {
  const [name = ""] = /^\w*/.exec(path) ?? [];
  return phrase`${key(name)}${path.slice(name.length)}`;
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

  /** The message with a caller's names of keys. */
  messageWith(names: KeyNames): string {
    return messageOf(this.code, this.#parameters, names);
  }

  /** The path of the wrong value in the request ("messages[2].content"), if it is known, with a caller's names of keys. */
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

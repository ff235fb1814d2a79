/**
 * The one catalogue of errors. Every error that a user can meet has a code, an exit status and a message template;
 * `{name}` in a template is replaced by the parameter of that name. docs/errors.md lists the same codes.
 */
export const errorCatalogue = {
  // 2: the command line or a request is wrong
  usage: { exit: 2, message: "{problem}. {hint}" },
  // 3: a file is missing, malformed, not to be written, or of a kind that is not supported
  "file-missing": { exit: 3, message: "{path}: no such file or folder. {hint}" },
  "file-unreadable": { exit: 3, message: "{path}: cannot be read: {reason}." },
  "file-unwritable": { exit: 3, message: "{path}: cannot be written: {reason}." },
  "file-malformed": { exit: 3, message: "{path}: {field}: expected {expected}, found {found}." },
  unsupported: { exit: 3, message: "{path}: {feature} is not supported. {hint}" },
  // 4: two things do not belong together
  "adapter-mismatch": { exit: 4, message: "{adapter}: does not fit the model {model}: {reason}." },
  "draft-mismatch": { exit: 4, message: "{draft}: cannot draft for the model {model}: {reason}." },
  "stride-too-long": {
    exit: 4,
    message: "stride {stride} needs {needed} MASK depths, the adapter {adapter} has {depths}. {hint}",
  },
  // 5: this machine or this model cannot hold the work
  "context-too-long": { exit: 5, message: "{nTokens} tokens do not fit into the context of {context}. {hint}" },
  memory: { exit: 5, message: "about {needed} MB of memory are needed, {available} MB are there. Lower {what}." },
  "queue-full": { exit: 5, message: "{most} requests are waiting, as many as may. Try again later." },
  // 6: the network, a download, or the cache of models
  download: { exit: 6, message: "{name}: {reason}. {hint}" },
  checksum: { exit: 6, message: "{path}: {algorithm} is {found}, expected {expected}. The file was not used. {hint}" },
  busy: { exit: 6, message: "{name}: {reason}. {hint}" },
  // 7: computing went wrong
  "not-finite": {
    exit: 7,
    message: "the logits of position {position} are not finite. The model's weights are damaged or overflow.",
  },
  "bytes-differ": {
    exit: 7,
    message:
      "the texts of {what} differ, although they have to be the same. Please report it with model, prompt and machine.",
  },
  backend: { exit: 7, message: "the backend {backend} is not available: {reason}. {hint}" },
} as const satisfies Record<string, { exit: number; message: string }>;

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

/** A key of a request (or an option of `load`) in a message, by its name in the library. */
export class KeyName {
  constructor(readonly name: string) {}
}

/** A part of a message that names keys, which everybody who hands requests on calls otherwise. */
export class Phrase {
  constructor(readonly parts: readonly (string | KeyName)[]) {}

  /** `names`: other names than the library's. */
  text(names: KeyNames): string {
    return this.parts.map((part) => (typeof part === "string" ? part : (names[part.name] ?? part.name))).join("");
  }
}

/** Names of keys, by those that they have in the library. */
export type KeyNames = Readonly<Record<string, string>>;

/** phrase`${new KeyName("stride")}: …` */
export function phrase(strings: TemplateStringsArray, ...values: readonly (string | number | KeyName)[]): Phrase {
  const parts = values.flatMap((value, i) => [value instanceof KeyName ? value : String(value), strings[i + 1] ?? ""]);
  return new Phrase([strings[0] ?? "", ...parts]);
}

type Parameters = Readonly<Record<string, string | number | Phrase>>;

/** An error of the catalogue: `code`, and `exitStatus` for the command line. */
export class IdlmError extends Error {
  readonly code: ErrorCode;
  readonly exitStatus: number;
  readonly #parameters: Parameters;

  constructor(code: ErrorCode, parameters: Parameters = {}, cause?: unknown) {
    super(messageOf(code, parameters, {}), cause === undefined ? undefined : { cause });
    this.name = "IdlmError";
    this.code = code;
    this.exitStatus = errorCatalogue[code].exit;
    this.#parameters = parameters;
  }

  /** The message with other names of a request's keys than the library's. */
  messageWith(names: KeyNames): string {
    return messageOf(this.code, this.#parameters, names);
  }
}

function messageOf(code: ErrorCode, parameters: Parameters, names: KeyNames): string {
  const value = (name: string) => {
    const found = parameters[name] ?? "";
    return escapeControls(found instanceof Phrase ? found.text(names) : String(found));
  };
  return errorCatalogue[code].message.replace(/\{(\w+)\}/g, (_, name: string) => value(name)).trim();
}

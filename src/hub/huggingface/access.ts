import { readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { IdlmError } from "../../errors.ts";

/** Address and token of the hub. */
export interface HubAccess {
  /** Without a trailing slash. */
  readonly endpoint: string;
  /** Sent only to the endpoint's origin, and never part of a message. */
  readonly token: string | undefined;
}

const DEFAULT_ENDPOINT = "https://huggingface.co";
/** A token has 37 characters. */
const MAX_TOKEN_BYTES = 4096;

/**
 * The hub's address (HF_ENDPOINT) and token, from the same places as in Hugging Face's tools: HF_TOKEN,
 * HUGGING_FACE_HUB_TOKEN, the file HF_TOKEN_PATH, HF_HOME/token or ~/.cache/huggingface/token.
 * https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
 * Errors: "usage".
 */
export function hubAccess(environment: NodeJS.ProcessEnv): HubAccess {
  return { endpoint: endpointOf(environment.HF_ENDPOINT || DEFAULT_ENDPOINT), token: tokenOf(environment) };
}

function endpointOf(text: string): string {
  // The message does not repeat the value, because it may contain a password.
  const wrong = (problem: string) =>
    new IdlmError("usage", { problem: `HF_ENDPOINT ${problem}`, hint: `Expected a URL like ${DEFAULT_ENDPOINT}.` });
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw wrong("is not a valid URL");
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") throw wrong("must start with https:// or http://");
  if (url.username !== "" || url.password !== "")
    throw wrong("contains a user name or password, which is not supported");
  if (url.search !== "" || url.hash !== "") throw wrong("must not contain a query or fragment");
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}

function tokenOf(environment: NodeJS.ProcessEnv): string | undefined {
  for (const name of ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]) {
    const token = cleanToken(environment[name] ?? "", name);
    if (token !== undefined) return token;
  }
  const home = environment.HF_HOME || join(environment.XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface");
  const path = environment.HF_TOKEN_PATH || join(home, "token");
  return cleanToken(readToken(path), path);
}

/** Empty if the file does not exist or cannot be read: public models need no token. */
function readToken(path: string): string {
  try {
    const { size } = statSync(path);
    return size > MAX_TOKEN_BYTES ? "" : readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function cleanToken(text: string, from: string): string | undefined {
  const token = text.replace(/[\r\n]/g, "").trim();
  if (token === "") return undefined;
  // HTTP would reject such a token, with a message that repeats it.
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new IdlmError("usage", {
      problem: `the token in ${from} contains invalid characters`,
      hint: "Create a new token at the hub, or remove it: public models need none.",
    });
  return token;
}

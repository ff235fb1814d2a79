import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { measuredMachine } from "./measured-machine.ts";

/** How the server answers; may be changed while it runs. */
export interface ReplaySettings {
  /** The text of every answer. */
  text: string;
  tokensPerSecond: number;
  /** A key that requests need. */
  key?: string;
  /** Answers so many requests with 429 first. */
  busy: number;
  /** Whether requests ran while the machine was measured. */
  disturbed: boolean;
}

export interface ReplayServer {
  readonly url: string;
  readonly settings: ReplaySettings;
  /** Bodies of the chat requests so far. */
  readonly bodies: Record<string, unknown>[];
  close(): Promise<void>;
}

/**
 * A server without a model: the page, and answers with made-up rounds at a fixed speed. The same request gets the same
 * bytes; with verify: relaxed, other ones. With tools, the first one is called; its result is then repeated.
 */
export async function startReplayServer(
  page: string,
  changes: Partial<ReplaySettings> = {},
  port = 0,
): Promise<ReplayServer> {
  const settings: ReplaySettings = { text: DEFAULT_TEXT, tokensPerSecond: 3000, busy: 0, disturbed: false, ...changes };
  const bodies: Record<string, unknown>[] = [];
  const server = createServer((request, response) => void respond(page, settings, bodies, request, response));
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ...{ settings, bodies },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function respond(
  page: string,
  settings: ReplaySettings,
  bodies: Record<string, unknown>[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const json = (status: number, body: unknown, headers = {}) =>
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
  const path = request.url ?? "";
  if (path === "/") return void response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(page);
  if (path === "/health") return void json(200, { status: "ok" });
  if (settings.key !== undefined && request.headers.authorization !== `Bearer ${settings.key}`) {
    return void json(401, { error: { message: "The API key is missing or wrong.", code: "invalid_api_key" } });
  }
  if (path === "/v1/models") return void json(200, { data: [{ id: "replayed" }] });
  if (path === "/metrics") return void response.end("idlm:num_requests_running 0\nidlm:num_requests_waiting 0\n");
  if (path === "/server_info") return void json(200, { version: "0", backend: { instructionSet: "avx2", threads: 2 } });
  if (path === "/doctor") return void json(200, { ...measuredMachine, disturbed: settings.disturbed });
  if (path !== "/v1/chat/completions") return void json(404, { error: { message: `Not found: ${path}` } });
  let text = "";
  for await (const part of request) text += part;
  const body = JSON.parse(text) as Record<string, unknown>;
  bodies.push(body);
  if (settings.busy > 0) {
    settings.busy--;
    return void json(429, { error: { message: "The queue is full." } }, { "retry-after": "0.5" });
  }
  await streamAnswer(settings, body, response);
}

async function streamAnswer(settings: ReplaySettings, body: Record<string, unknown>, response: ServerResponse) {
  response.writeHead(200, { "content-type": "text/event-stream" });
  const send = (chunk: unknown) => response.write(`data: ${JSON.stringify(chunk)}\n\n`);
  const call = callOf(body);
  const text = call === undefined ? textOf(settings, body) : JSON.stringify(call);
  const isPlain = body.propose === "none";
  const msPerToken = 1000 / settings.tokensPerSecond;
  const start = performance.now();
  let nTokens = 0;
  let decodeMs = 0;
  const rounds = madeUpRounds(text, isPlain, msPerToken);
  for (const round of rounds) {
    nTokens += round.tokens.length;
    if (round.forward > 1) decodeMs += round.ms;
    const wait = start + nTokens * msPerToken - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    if (response.destroyed) return;
    const written = round.tokens.map((token) => token.text).join("");
    const delta = call === undefined ? { content: written } : {};
    const content = round.tokens.map((token) => logprobOf(token.text));
    send({ choices: [{ index: 0, delta, logprobs: body.logprobs ? { content } : null }], idlm: { round } });
  }
  const calls = call && [{ index: 0, id: "call-1", type: "function", function: call }];
  const finishReason = calls ? "tool_calls" : "stop";
  send({ choices: [{ index: 0, delta: calls ? { tool_calls: calls } : {}, finish_reason: finishReason }] });
  const result = {
    ...{ sha256: createHash("sha256").update(text).digest("hex"), forwards: rounds.length, prefillMs: 20, decodeMs },
    ...{ tokensPerForward: nTokens / rounds.length, lossless: body.verify !== "relaxed" },
  };
  send({ choices: [], usage: { prompt_tokens: 30, completion_tokens: nTokens }, idlm: { result } });
  response.end("data: [DONE]\n\n");
}

interface ReplayBody {
  readonly messages?: readonly { readonly role: string; readonly content: string }[];
  readonly tools?: readonly { readonly function: { readonly name: string } }[];
}

/** The call of the first tool that follows a question. */
function callOf({ messages, tools }: ReplayBody) {
  const name = tools?.[0]?.function.name;
  if (name === undefined || messages?.at(-1)?.role !== "user") return undefined;
  return { name, arguments: JSON.stringify({ city: "Paris" }) };
}

function textOf(settings: ReplaySettings, body: Record<string, unknown>): string {
  const last = (body as ReplayBody).messages?.at(-1);
  if (last?.role === "tool") return `The tool says: ${last.content}`;
  return body.verify === "relaxed" ? settings.text.replace(/ (\w+)\.$/m, " elsewhere.") : settings.text;
}

/** Rounds that generate the text: tokens are words with their spaces; which proposals stand depends on the text alone. */
function madeUpRounds(text: string, isPlain: boolean, msPerToken: number) {
  const words = text.match(/\s*[\w’']+|\s*[^\w\s]|\s+$/g) ?? [];
  const rounds = [];
  for (let at = 0, forward = 1; at < words.length; forward++) {
    const luck = (at * 2654435761) % 97;
    const proposed = isPlain || forward === 1 ? 0 : 1 + (luck % 3);
    const stood = Math.min(words.length - at - 1, luck % 5 === 0 ? proposed : luck % (proposed + 1));
    const proposals = Array.from({ length: proposed }, (_, i) => {
      const right = words[at + i];
      const accepted = i < stood && right !== undefined;
      const source = luck % 11 === 0 ? "lookup" : "mask";
      const probability = 0.35 + ((luck * (i + 3)) % 60) / 100;
      return {
        id: at + i,
        text: accepted ? right : wrong(luck + i),
        parent: i - 1,
        depth: i + 1,
        source,
        probability,
        accepted,
      };
    });
    const tokens = [
      ...proposals
        .filter(({ accepted }) => accepted)
        .map(({ id, text: own, source, depth }) => ({ id, text: own, source, depth })),
      { id: at + stood, text: words[at + stood] ?? "", source: "drawn", depth: 0 },
    ];
    rounds.push({ forward, ms: msPerToken * (1 + 0.15 * proposed), rows: 1 + 2 * proposed, proposals, tokens });
    at += stood + 1;
  }
  return rounds;
}

const WRONG = [" the", " of", " and", " it", ",", " with", " water", " body", " more", " to"];
const wrong = (luck: number) => WRONG[luck % WRONG.length] ?? " a";

function logprobOf(token: string) {
  const top = [{ token, logprob: -0.3 }, ...WRONG.slice(0, 4).map((text, i) => ({ token: text, logprob: -2 - i }))];
  return { token, logprob: -0.3, top_logprobs: top };
}

/** A text of about so many tokens. */
export function longText(nTokens: number): string {
  return DEFAULT_TEXT.repeat(Math.ceil(nTokens / 174));
}

const DEFAULT_TEXT = `Here are **three tips** for staying healthy:

1. **Eat a balanced diet**: fruits, vegetables, whole grains, lean proteins and healthy fats give the body what it needs, and help to keep the weight where it should be.
2. **Move every day**: at least half an hour of walking, cycling or swimming strengthens heart and lungs, and helps to fall asleep.
3. **Sleep enough**: seven to nine hours let the body rest and the mind sort out what it learned during the day.

Together, these habits make it more likely to stay healthy for many years. Start with one of them, and make it a part of the day that nothing else may take.

\`\`\`python
def healthy(day):
    return day.sleep >= 7 and day.walked
\`\`\`
`;

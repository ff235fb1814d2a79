import type { IncomingMessage, ServerResponse } from "node:http";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeHub, madeBytes, sendFile, sendJson, sha256 } from "../../../test/support/fake-hub.ts";
import type { IdlmError } from "../../errors.ts";
import { pull } from "../pull.ts";
import type { PullOptions } from "../pull-options.ts";
import { resolveModel } from "../resolve-model.ts";

const TOKEN = "hf_SecretThatNobodyElseMaySee";
const weights = madeBytes(400_000);
const other = madeBytes(400_000, 2);
let cache = "";
let hub: FakeHub;
let notices: string[] = [];

beforeEach(async () => {
  cache = mkdtempSync(join(tmpdir(), "idlm-hub-"));
  hub = await FakeHub.start();
  hub.add("model.gguf", weights);
  notices = [];
});
afterEach(async () => {
  await hub.stop();
  rmSync(cache, { recursive: true });
});

function fetchModel(more: PullOptions = {}): Promise<string> {
  const environment = { ...hub.environment, HF_TOKEN: TOKEN };
  const onNotice = (sentence: string) => notices.push(sentence);
  return pull("org/repo", { cache, environment, onNotice, timing: { backoffMs: 1, pollMs: 10 }, ...more });
}

/** The model came and is right. */
async function expectRight(pulled: Promise<string>): Promise<void> {
  expect(readFileSync(await pulled).equals(weights)).toBe(true);
  expect((await resolveModel("org/repo", { cache })).kind).toBe("gguf");
}

/** It ends in an error of the catalogue that does not give the token away, and nothing can be used. */
async function expectError(pulled: Promise<string>, code: string, message: RegExp): Promise<void> {
  const error = await pulled.then(
    (path) => expect.fail(`gave ${path}`),
    (reason: IdlmError) => reason,
  );
  expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  expect(JSON.stringify([error.message, error.stack, String(error.cause), notices])).not.toContain(TOKEN);
  await expect(resolveModel("org/repo", { cache })).rejects.toMatchObject({ code: "file-missing" });
}

/** Bytes of the file that have come, of a pull that failed. */
function partialBytes(): number {
  const [key = ""] = existsSync(join(cache, "models")) ? readdirSync(join(cache, "models")) : [];
  const path = join(cache, "models", key, "partial", sha256(weights));
  return existsSync(path) ? statSync(path).size : 0;
}

/** Sends as usual, but `nBytes` only, and drops the connection. */
function sendAndDrop(request: IncomingMessage, response: ServerResponse, nBytes: number, ranges = true): void {
  const from = ranges ? Number(/\d+/.exec(request.headers.range ?? "0")?.[0]) : 0;
  const range = `bytes ${from}-${weights.length - 1}/${weights.length}`;
  response.writeHead(from > 0 ? 206 : 200, {
    etag: `"${sha256(weights)}"`,
    "content-length": weights.length - from,
    ...(from > 0 && { "content-range": range }),
  });
  response.write(weights.subarray(from, from + nBytes), () => drop(response, Math.min(from + nBytes, weights.length)));
}

/** Ends a connection when what was sent has been written down: what lies in buffers then would be lost. */
function drop(response: ServerResponse, nBytes: number): void {
  const deadline = Date.now() + 10_000;
  const timer = setInterval(() => {
    if (partialBytes() < nBytes && Date.now() < deadline) return;
    clearInterval(timer);
    response.destroy();
  }, 2);
}

/** Misbehaves the first `times`, then no more. */
function first(times: number, misbehave: (request: IncomingMessage, response: ServerResponse) => void) {
  return (request: IncomingMessage, response: ServerResponse) => {
    if (times-- <= 0) return false;
    misbehave(request, response);
    return true;
  };
}

const always = (misbehave: (request: IncomingMessage, response: ServerResponse) => void) => first(Infinity, misbehave);

describe("a server that drops connections", () => {
  it("is asked for the rest", async () => {
    hub.onFile = first(6, (request, response) => sendAndDrop(request, response, 60_000));
    await expectRight(fetchModel());
    expect(hub.fetched).toEqual([
      "model.gguf all",
      ...[1, 2, 3, 4, 5, 6].map((i) => `model.gguf bytes=${i * 60_000}-`),
    ]);
  });

  it("and serves no ranges, is asked for all again", async () => {
    hub.onFile = (request, response) => {
      if (hub.fetched.length < 3) sendAndDrop(request, response, 300_000, false);
      else sendFile({ ...request, headers: {} } as IncomingMessage, response, weights);
      return true;
    };
    await expectRight(fetchModel());
    expect(hub.fetched).toHaveLength(3);
  });

  it("for ever, is given up; the next pull goes on where it ended", async () => {
    hub.onFile = (request, response) => {
      sendAndDrop(request, response, request.headers.range === undefined ? 150_000 : 0);
      return true;
    };
    await expectError(fetchModel(), "download", /5 times in a row.*what has come is kept/);
    expect(partialBytes()).toBe(150_000);
    hub.onFile = () => false;
    hub.seen.length = 0;
    await expectRight(fetchModel());
    expect(hub.fetched).toEqual(["model.gguf bytes=150000-"]);
  });

  it("wherever it does, gives the right file in the end", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 250_000 }), { maxLength: 4 }), async (cuts) => {
        rmSync(join(cache, "models"), { recursive: true, force: true });
        hub.onFile = (request, response) => {
          const nBytes = cuts.shift();
          if (nBytes !== undefined) sendAndDrop(request, response, nBytes);
          return nBytes !== undefined;
        };
        await expectRight(fetchModel());
      }),
      { numRuns: 12 },
    );
  });

  it("or stops sending, is asked again", async () => {
    hub.onFile = first(1, (_, response) => {
      response.writeHead(200, { "content-length": weights.length });
      response.write(weights.subarray(0, 100_000));
    });
    await expectRight(fetchModel({ timing: { backoffMs: 1, windowMs: 150 } }));
    expect(hub.fetched).toEqual(["model.gguf all", "model.gguf bytes=100000-"]);
  });

  it("or never answers, is given up", async () => {
    hub.onFile = always(() => {});
    await expectError(fetchModel({ timing: { backoffMs: 1, answerMs: 50 } }), "download", /did not answer in time/);
  });
});

describe("a server that lies about lengths", () => {
  it.each([
    ["a body shorter than it says", 1000, weights.length],
    ["a shorter body, and says so", 1000, 1000],
  ])("with %s, gives the rest when asked again", async (_, sent, said) => {
    hub.onFile = first(1, (_, response) => {
      response.writeHead(200, { "content-length": said });
      response.write(weights.subarray(0, sent), () => (said > sent ? drop(response, sent) : response.end()));
    });
    await expectRight(fetchModel());
    expect(hub.fetched.at(-1)).toBe("model.gguf bytes=1000-");
  });

  it("with more behind the file, gives the file", async () => {
    hub.onFile = always((_, response) => void response.writeHead(200).end(Buffer.concat([weights, other])));
    await expectRight(fetchModel());
  });

  it.each([
    [weights.length + 10, "download", /sent 400000 of 400010 bytes/],
    [weights.length - 10, "checksum", /was not used/],
  ])("in its listing (%d bytes), is not believed", async (size, code, message) => {
    hub.listing = () => [{ type: "file", path: "model.gguf", size, oid: "", lfs: { oid: sha256(weights), size } }];
    hub.onFile = always((_, response) => void response.writeHead(200).end(weights));
    await expectError(fetchModel(), code, message);
  });

  it.each([
    ["of another place", "bytes 0-399999/400000"],
    ["of another length", "bytes 100000-399999/500000"],
    ["of nothing", "everything"],
  ])("with a range %s, is asked for all again", async (_, range) => {
    const failures = [
      (request: IncomingMessage, response: ServerResponse) => sendAndDrop(request, response, 100_000),
      (_: IncomingMessage, response: ServerResponse) =>
        response.writeHead(206, { "content-range": range }).end(other.subarray(100_000)),
    ];
    hub.onFile = (request, response) => {
      const failure = failures.shift();
      failure?.(request, response);
      return failure !== undefined;
    };
    await expectRight(fetchModel());
    expect(hub.fetched.at(-1)).toBe("model.gguf all");
  });
});

describe("a server that sends other bytes", () => {
  it("has its file refused, and leaves nothing of it", async () => {
    hub.onFile = always((request, response) => sendFile(request, response, other, '"other"'));
    await expectError(fetchModel(), "checksum", /SHA-256 is [0-9a-f]{64}, expected [0-9a-f]{64}/);
    expect(partialBytes()).toBe(0);
    expect(hub.fetched).toHaveLength(1);
  });

  it.each([
    ["with tags", (content: Buffer) => `"${sha256(content)}"`],
    ["with weak tags", (content: Buffer) => `W/"${sha256(content)}"`],
    ["without tags", () => undefined],
  ])("in the middle of a download, %s, is asked for all again", async (_, tagOf) => {
    let served = other;
    hub.onFile = (request, response) => {
      const from = Number(/\d+/.exec(request.headers.range ?? "0")?.[0]);
      const tag = tagOf(served);
      if (served === weights) {
        sendFile(request, response, weights, tag);
      } else {
        response.writeHead(200, { "content-length": other.length, ...(tag !== undefined && { etag: tag }) });
        response.write(other.subarray(from, from + 200_000), () => drop(response, 200_000));
        served = weights;
      }
      return true;
    };
    await expectRight(fetchModel());
    expect(hub.fetched.length).toBeLessThanOrEqual(3);
  });

  it("and drops every connection, is given up all the same", async () => {
    let request = 0;
    hub.onFile = (incoming, response) => {
      const from = Number(/\d+/.exec(incoming.headers.range ?? "0")?.[0]);
      if (request++ % 2 === 0) {
        response.writeHead(200, { "content-length": other.length });
        response.write(other.subarray(0, 200_000), () => drop(response, 200_000));
      } else {
        const range = `bytes ${from}-${other.length - 1}/${other.length}`;
        response.writeHead(206, { "content-range": range }).end(other.subarray(from));
      }
      return true;
    };
    await expectError(fetchModel(), "checksum", /was not used/);
    expect(hub.fetched).toHaveLength(4);
  });
});

describe("a server that refuses", () => {
  it.each([
    [401, {}, /refuses access \(401\): it does not exist or is private\. The token does not open it/],
    [403, { "x-error-code": "GatedRepo" }, /conditions have to be accepted/],
    [404, { "x-error-code": "RevisionNotFound" }, /no such revision \(404\)/],
    [410, {}, /answers with status 410/],
    [206, {}, /answers with status 206/],
    [302, {}, /answers with status 302/],
  ])("with %d, is asked once", async (status, headers, message) => {
    hub.onApi = always((_, response) => void response.writeHead(status, headers).end("<html>no</html>"));
    await expectError(fetchModel(), "download", message);
    // A missing commit alone does not say that there are no files.
    expect(hub.seen).toHaveLength(status === 404 ? 2 : 1);
  });

  it("says how to give a token where there is none", async () => {
    hub.onApi = always((_, response) => void response.writeHead(401).end());
    await expectError(fetchModel({ environment: hub.environment }), "download", /No token was found: set HF_TOKEN/);
  });

  it("a file with 404 or 403 ends it", async () => {
    hub.onFile = always((_, response) => void response.writeHead(404, { "x-error-code": "EntryNotFound" }).end());
    await expectError(fetchModel(), "download", /org\/repo:model.gguf: .*no such file \(404\)/);
    hub.onFile = always((_, response) => void response.writeHead(403).end());
    await expectError(fetchModel(), "download", /refuses access \(403\)/);
  });

  it.each([500, 502, 503, 408])("with %d, is asked again, and given up after five times", async (status) => {
    hub.onApi = first(3, (_, response) => void response.writeHead(status).end());
    hub.onFile = first(4, (_, response) => void response.writeHead(status).end());
    await expectRight(fetchModel());
    rmSync(join(cache, "models"), { recursive: true });
    hub.onFile = always((_, response) => void response.writeHead(status).end());
    await expectError(fetchModel(), "download", new RegExp(`it failed \\(${status}\\) \\(5 times in a row\\)`));
  });

  it("with 429, is given the time that it asks for", async () => {
    hub.onApi = first(1, (_, response) => void response.writeHead(429, { "retry-after": "2" }).end());
    const startMs = performance.now();
    await expectRight(fetchModel());
    expect(performance.now() - startMs).toBeGreaterThan(1900);
    expect(notices.join()).toMatch(/asked too often \(429\); trying again in 2 s/);
  });

  it("with 429 and asks for an hour, is not waited for", async () => {
    hub.onApi = always((_, response) => void response.writeHead(429, { "retry-after": "3600" }).end());
    await expectError(fetchModel(), "download", /asks to wait 3600 s/);
  });
});

describe("a server that redirects", () => {
  it("to another host, gets the file from there, which does not get the token", async () => {
    const storage = await FakeHub.start();
    storage.onFile = always((request, response) => sendFile(request, response, weights));
    hub.onFile = always(
      (_, response) => void response.writeHead(302, { location: `${storage.endpoint}/signed?x=1` }).end(),
    );
    await expectRight(fetchModel());
    expect(hub.seen.every(({ headers }) => headers.authorization === `Bearer ${TOKEN}`)).toBe(true);
    expect(storage.seen).toHaveLength(1);
    expect(storage.seen[0]?.headers.authorization).toBeUndefined();
    await storage.stop();
  });

  it("there and back, does not get the token again", async () => {
    const storage = await FakeHub.start();
    storage.onFile = always((_, response) => void response.writeHead(302, { location: `${hub.endpoint}/back` }).end());
    hub.onFile = (request, response) => {
      if (request.url === "/back") sendFile(request, response, weights);
      else response.writeHead(307, { location: `${storage.endpoint}/away` }).end();
      return true;
    };
    await expectRight(fetchModel());
    expect(hub.seen.at(-1)).toMatchObject({ path: "/back" });
    expect(hub.seen.at(-1)?.headers.authorization).toBeUndefined();
    await storage.stop();
  });

  it("to another path of its own (a renamed repository), gets the token", async () => {
    hub.onFile = (request, response) => {
      if (request.url?.startsWith("/new/")) sendFile(request, response, weights);
      else response.writeHead(307, { location: `/new${request.url}` }).end();
      return true;
    };
    await expectRight(fetchModel());
    expect(hub.seen.at(-1)?.headers.authorization).toBe(`Bearer ${TOKEN}`);
  });

  it.each([
    ["for ever", "/again", /redirects more than 5 times/],
    ["to a file", "file:///etc/passwd", /redirects away from HTTPS/],
    ["to nothing", "http://", /redirects to no address/],
    ["to an address with a password", "http://user:secret@127.0.0.1/", /an address with a password/],
  ])("%s, is refused", async (_, location, message) => {
    hub.onFile = always((_, response) => void response.writeHead(302, { location }).end());
    await expectError(fetchModel(), "download", message);
  });
});

describe("a server whose listing is odd", () => {
  const tree = (answer: (response: ServerResponse) => void) => {
    hub.onApi = (request, response) => {
      const isTree = request.url?.includes("/tree/") === true;
      if (isTree) answer(response);
      return isTree;
    };
  };

  it.each<[string, (response: ServerResponse) => void, RegExp]>([
    [
      "a page for people",
      (response) => void response.writeHead(200).end("<html>Log in</html>"),
      /not answer with JSON/,
    ],
    ["half of one", (response) => void response.writeHead(200).end('[{"type":"file"'), /not answer with JSON/],
    ["something else", (response) => sendJson(response, { error: TOKEN }), /JSON of another kind/],
    [
      "a file twice",
      (response) => sendJson(response, [...hub.listing(), ...hub.listing()]),
      /lists "model.gguf" twice/,
    ],
    [
      "more than there is",
      (response) => void response.writeHead(200).end(Buffer.alloc(17e6, " ")),
      /more than 16777216/,
    ],
    [
      "pages without end",
      (response) =>
        void response.writeHead(200, { link: `<${hub.endpoint}/api/models/org/repo/tree/x>; rel="next"` }).end("[]"),
      /more than 100 pages/,
    ],
    ["nothing", (response) => sendJson(response, []), /holds no config.json/],
    ["what is no file", (response) => sendJson(response, [null, 1, "x", { type: "file" }]), /holds no config.json/],
    [
      "files elsewhere",
      (response) =>
        sendJson(
          response,
          [
            "../evil.gguf",
            "/etc/evil.gguf",
            "a/../../evil.gguf",
            "a\\evil.gguf",
            "C:evil.gguf",
            "a\u202egguf.gguf",
          ].map((path) => ({ type: "file", path, size: 3, lfs: { oid: sha256(weights), size: 3 } })),
        ),
      /holds no config.json/,
    ],
    [
      "sizes that are none",
      (response) =>
        sendJson(
          response,
          [-1, 1.5, 1e300, "7", null].map((size, i) => ({
            type: "file",
            path: `${i}.gguf`,
            size,
            lfs: { oid: sha256(weights), size },
          })),
        ),
      /holds no config.json/,
    ],
  ])("%s, is refused", async (_, answer, message) => {
    tree(answer);
    await expectError(fetchModel(), "download", message);
    expect(existsSync(join(cache, "..", "evil.gguf"))).toBe(false);
  });

  it("is read page by page", async () => {
    const link = `<${hub.endpoint}/api/models/org/repo/tree/x?page=2>; rel="next"`;
    hub.onApi = (request, response) => {
      if (request.url?.includes("page=2")) sendJson(response, hub.listing());
      else if (request.url?.includes("/tree/")) response.writeHead(200, { link }).end("[]");
      else return false;
      return true;
    };
    await expectRight(fetchModel());
  });
});

describe("an abort", () => {
  it("ends the download at once and keeps what has come", async () => {
    const controller = new AbortController();
    hub.onFile = first(1, (_, response) => {
      response.writeHead(200, { "content-length": weights.length });
      response.write(weights.subarray(0, 200_000));
    });
    const onProgress = ({ bytesDone }: { bytesDone: number }) => {
      if (bytesDone >= 200_000) controller.abort(new Error("stop it"));
    };
    await expect(fetchModel({ signal: controller.signal, onProgress })).rejects.toThrow("stop it");
    expect(partialBytes()).toBe(200_000);
    await expectRight(fetchModel());
    expect(hub.fetched.at(-1)).toBe("model.gguf bytes=200000-");
  });

  it("ends a wait for the server", async () => {
    const controller = new AbortController();
    hub.onApi = always((_, response) => void response.writeHead(429, { "retry-after": "100" }).end());
    const pulled = fetchModel({ signal: controller.signal, onNotice: () => controller.abort(new Error("stop it")) });
    await expect(pulled).rejects.toThrow("stop it");
  });
});

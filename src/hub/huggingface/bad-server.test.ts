import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
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

/** The pull succeeds, and the model is complete. */
async function expectPulled(pulled: Promise<string>): Promise<void> {
  expect(readFileSync(await pulled).equals(weights)).toBe(true);
  expect((await resolveModel("org/repo", { cache })).kind).toBe("gguf");
}

/** The pull fails with an error of the catalogue that does not contain the token, and leaves no usable model. */
async function expectError(pulled: Promise<string>, code: string, message: RegExp): Promise<void> {
  const error = await pulled.then(
    (path) => expect.fail(`gave ${path}`),
    (reason: IdlmError) => reason,
  );
  expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  expect(JSON.stringify([error.message, error.stack, String(error.cause), notices])).not.toContain(TOKEN);
  await expect(resolveModel("org/repo", { cache })).rejects.toMatchObject({ code: "file-missing" });
}

/** Size of the partial file. */
function partialBytes(): number {
  const [key = ""] = existsSync(join(cache, "models")) ? readdirSync(join(cache, "models")) : [];
  const path = join(cache, "models", key, "partial", sha256(weights));
  return existsSync(path) ? statSync(path).size : 0;
}

/** Sends only `nBytes`, then drops the connection. */
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

/** Drops a connection once the bytes sent have been written to disk; buffered bytes would be lost. */
function drop(response: ServerResponse, nBytes: number): void {
  const deadline = Date.now() + 10_000;
  const timer = setInterval(() => {
    if (partialBytes() < nBytes && Date.now() < deadline) return;
    clearInterval(timer);
    response.destroy();
  }, 2);
}

/** Misbehaves the first `times` times. */
function first(times: number, misbehave: (request: IncomingMessage, response: ServerResponse) => void) {
  return (request: IncomingMessage, response: ServerResponse) => {
    if (times-- <= 0) return false;
    misbehave(request, response);
    return true;
  };
}

const always = (misbehave: (request: IncomingMessage, response: ServerResponse) => void) => first(Infinity, misbehave);

describe("when the server drops connections, a pull", () => {
  it("requests the missing bytes", async () => {
    hub.onFile = first(6, (request, response) => sendAndDrop(request, response, 60_000));
    await expectPulled(fetchModel());
    expect(hub.fetched).toEqual([
      "model.gguf all",
      ...[1, 2, 3, 4, 5, 6].map((i) => `model.gguf bytes=${i * 60_000}-`),
    ]);
  });

  it("starts over if the server does not support ranges", async () => {
    hub.onFile = (request, response) => {
      if (hub.fetched.length < 3) sendAndDrop(request, response, 300_000, false);
      else sendFile({ ...request, headers: {} } as IncomingMessage, response, weights);
      return true;
    };
    await expectPulled(fetchModel());
    expect(hub.fetched).toHaveLength(3);
  });

  it("fails after 5 attempts, and the next pull resumes", async () => {
    hub.onFile = (request, response) => {
      sendAndDrop(request, response, request.headers.range === undefined ? 150_000 : 0);
      return true;
    };
    await expectError(fetchModel(), "download", /5 attempts.*bytes downloaded so far are kept/);
    expect(partialBytes()).toBe(150_000);
    hub.onFile = () => false;
    hub.seen.length = 0;
    await expectPulled(fetchModel());
    expect(hub.fetched).toEqual(["model.gguf bytes=150000-"]);
  });

  it("gets the complete file, wherever the connection drops", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 250_000 }), { maxLength: 4 }), async (cuts) => {
        rmSync(join(cache, "models"), { recursive: true, force: true });
        hub.onFile = (request, response) => {
          const nBytes = cuts.shift();
          if (nBytes !== undefined) sendAndDrop(request, response, nBytes);
          return nBytes !== undefined;
        };
        await expectPulled(fetchModel());
      }),
      { numRuns: 12 },
    );
  });

  it("retries a stalled connection", async () => {
    hub.onFile = first(1, (_, response) => {
      response.writeHead(200, { "content-length": weights.length });
      response.write(weights.subarray(0, 100_000));
    });
    await expectPulled(fetchModel({ timing: { backoffMs: 1, windowMs: 150 } }));
    expect(hub.fetched).toEqual(["model.gguf all", "model.gguf bytes=100000-"]);
  });

  it("fails if the server never responds", async () => {
    hub.onFile = always(() => {});
    await expectError(fetchModel({ timing: { backoffMs: 1, answerMs: 50 } }), "download", /no response in time/);
  });
});

describe("when the server reports wrong lengths, a pull", () => {
  it.each([
    ["a body shorter than it says", 1000, weights.length],
    ["a shorter body, and says so", 1000, 1000],
  ])("gets the rest with another request (%s)", async (_, sent, said) => {
    hub.onFile = first(1, (_, response) => {
      response.writeHead(200, { "content-length": said });
      response.write(weights.subarray(0, sent), () => (said > sent ? drop(response, sent) : response.end()));
    });
    await expectPulled(fetchModel());
    expect(hub.fetched.at(-1)).toBe("model.gguf bytes=1000-");
  });

  it("ignores bytes beyond the file", async () => {
    hub.onFile = always((_, response) => void response.writeHead(200).end(Buffer.concat([weights, other])));
    await expectPulled(fetchModel());
  });

  it.each([
    [weights.length + 10, "download", /sent 400000 of 400010 bytes/],
    [weights.length - 10, "checksum", /was not used/],
  ])("fails for a listed size of %d bytes", async (size, code, message) => {
    hub.listing = () => [{ type: "file", path: "model.gguf", size, oid: "", lfs: { oid: sha256(weights), size } }];
    hub.onFile = always((_, response) => void response.writeHead(200).end(weights));
    await expectError(fetchModel(), code, message);
  });

  it.each([
    ["of another place", "bytes 0-399999/400000"],
    ["of another length", "bytes 100000-399999/500000"],
    ["of nothing", "everything"],
  ])("starts over for a range %s", async (_, range) => {
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
    await expectPulled(fetchModel());
    expect(hub.fetched.at(-1)).toBe("model.gguf all");
  });
});

describe("when the server sends other bytes, a pull", () => {
  it("rejects the file and keeps nothing of it", async () => {
    hub.onFile = always((request, response) => sendFile(request, response, other, '"other"'));
    await expectError(fetchModel(), "checksum", /SHA-256 is [0-9a-f]{64}, expected [0-9a-f]{64}/);
    expect(partialBytes()).toBe(0);
    expect(hub.fetched).toHaveLength(1);
  });

  it.each([
    ["with tags", (content: Buffer) => `"${sha256(content)}"`],
    ["with weak tags", (content: Buffer) => `W/"${sha256(content)}"`],
    ["without tags", () => undefined],
  ])("starts over if the content changes during the download (%s)", async (_, tagOf) => {
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
    await expectPulled(fetchModel());
    expect(hub.fetched.length).toBeLessThanOrEqual(3);
  });

  it("fails if connections drop, too", async () => {
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

describe("when the server responds with an error, a pull", () => {
  it.each([
    [401, {}, /denies access \(401\): it does not exist or is private\. The token has no access/],
    [403, { "x-error-code": "GatedRepo" }, /conditions must be accepted/],
    [404, { "x-error-code": "RevisionNotFound" }, /no such revision at .* \(404\)/],
    [410, {}, /responded with status 410/],
    [206, {}, /responded with status 206/],
    [302, {}, /responded with status 302/],
  ])("fails at once for status %d", async (status, headers, message) => {
    hub.onApi = always((_, response) => void response.writeHead(status, headers).end("<html>no</html>"));
    await expectError(fetchModel(), "download", message);
    // The files are listed even if the model information is missing.
    expect(hub.seen).toHaveLength(status === 404 ? 2 : 1);
  });

  it("says how to set a token if there is none", async () => {
    hub.onApi = always((_, response) => void response.writeHead(401).end());
    await expectError(fetchModel({ environment: hub.environment }), "download", /No token was found: set HF_TOKEN/);
  });

  it("fails at once for a file with status 404 or 403", async () => {
    hub.onFile = always((_, response) => void response.writeHead(404, { "x-error-code": "EntryNotFound" }).end());
    await expectError(fetchModel(), "download", /org\/repo:model.gguf: .*no such file at .* \(404\)/);
    hub.onFile = always((_, response) => void response.writeHead(403).end());
    await expectError(fetchModel(), "download", /denies access \(403\)/);
  });

  it.each([500, 502, 503, 408])("retries status %d, and fails after 5 attempts", async (status) => {
    hub.onApi = first(3, (_, response) => void response.writeHead(status).end());
    hub.onFile = first(4, (_, response) => void response.writeHead(status).end());
    await expectPulled(fetchModel());
    rmSync(join(cache, "models"), { recursive: true });
    hub.onFile = always((_, response) => void response.writeHead(status).end());
    await expectError(fetchModel(), "download", new RegExp(`server error \\(${status}\\) \\(5 attempts\\)`));
  });

  it("waits as long as a 429 requests", async () => {
    hub.onApi = first(1, (_, response) => void response.writeHead(429, { "retry-after": "2" }).end());
    const startMs = performance.now();
    await expectPulled(fetchModel());
    expect(performance.now() - startMs).toBeGreaterThan(1900);
    expect(notices.join()).toMatch(/too many requests \(429\); trying again in 2 s/);
  });

  it("does not wait an hour for a 429", async () => {
    hub.onApi = always((_, response) => void response.writeHead(429, { "retry-after": "3600" }).end());
    await expectError(fetchModel(), "download", /requests a wait of 3600 s/);
  });
});

describe("when the server redirects, a pull", () => {
  it("follows to another host, without sending the token", async () => {
    const storage = await FakeHub.start();
    storage.onFile = always((request, response) => sendFile(request, response, weights));
    hub.onFile = always(
      (_, response) => void response.writeHead(302, { location: `${storage.endpoint}/signed?x=1` }).end(),
    );
    await expectPulled(fetchModel());
    expect(hub.seen.every(({ headers }) => headers.authorization === `Bearer ${TOKEN}`)).toBe(true);
    expect(storage.seen).toHaveLength(1);
    expect(storage.seen[0]?.headers.authorization).toBeUndefined();
    await storage.stop();
  });

  it("does not send the token again after leaving the host", async () => {
    const storage = await FakeHub.start();
    storage.onFile = always((_, response) => void response.writeHead(302, { location: `${hub.endpoint}/back` }).end());
    hub.onFile = (request, response) => {
      if (request.url === "/back") sendFile(request, response, weights);
      else response.writeHead(307, { location: `${storage.endpoint}/away` }).end();
      return true;
    };
    await expectPulled(fetchModel());
    expect(hub.seen.at(-1)).toMatchObject({ path: "/back" });
    expect(hub.seen.at(-1)?.headers.authorization).toBeUndefined();
    await storage.stop();
  });

  it("sends the token to another path of the host (a renamed repository)", async () => {
    hub.onFile = (request, response) => {
      if (request.url?.startsWith("/new/")) sendFile(request, response, weights);
      else response.writeHead(307, { location: `/new${request.url}` }).end();
      return true;
    };
    await expectPulled(fetchModel());
    expect(hub.seen.at(-1)?.headers.authorization).toBe(`Bearer ${TOKEN}`);
  });

  it.each([
    ["without end", "/again", /redirects more than 5 times/],
    ["to a file", "file:///etc/passwd", /redirects away from HTTPS/],
    ["to nothing", "http://", /redirects to an invalid URL/],
    ["to a URL with a password", "http://user:secret@127.0.0.1/", /a URL with a password/],
  ])("fails for redirects %s", async (_, location, message) => {
    hub.onFile = always((_, response) => void response.writeHead(302, { location }).end());
    await expectError(fetchModel(), "download", message);
  });
});

describe("when the server sends an odd listing, a pull", () => {
  const tree = (answer: (response: ServerResponse) => void) => {
    hub.onApi = (request, response) => {
      const isTree = request.url?.includes("/tree/") === true;
      if (isTree) answer(response);
      return isTree;
    };
  };

  it.each<[string, (response: ServerResponse) => void, RegExp]>([
    ["an HTML page", (response) => void response.writeHead(200).end("<html>Log in</html>"), /is not JSON/],
    ["truncated JSON", (response) => void response.writeHead(200).end('[{"type":"file"'), /is not JSON/],
    ["another kind of JSON", (response) => sendJson(response, { error: TOKEN }), /not the expected JSON/],
    [
      "a file twice",
      (response) => sendJson(response, [...hub.listing(), ...hub.listing()]),
      /lists "model.gguf" twice/,
    ],
    ["a huge response", (response) => void response.writeHead(200).end(Buffer.alloc(17e6, " ")), /exceeds 16777216/],
    [
      "pages without end",
      (response) =>
        void response.writeHead(200, { link: `<${hub.endpoint}/api/models/org/repo/tree/x>; rel="next"` }).end("[]"),
      /more than 100 pages/,
    ],
    ["an empty list", (response) => sendJson(response, []), /has no config.json/],
    [
      "entries that are not files",
      (response) => sendJson(response, [null, 1, "x", { type: "file" }]),
      /has no config.json/,
    ],
    [
      "files outside of the folder",
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
      /has no config.json/,
    ],
    [
      "invalid sizes",
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
      /has no config.json/,
    ],
  ])("fails for %s", async (_, answer, message) => {
    tree(answer);
    await expectError(fetchModel(), "download", message);
    expect(existsSync(join(cache, "..", "evil.gguf"))).toBe(false);
  });

  it("reads all pages of a listing", async () => {
    const link = `<${hub.endpoint}/api/models/org/repo/tree/x?page=2>; rel="next"`;
    hub.onApi = (request, response) => {
      if (request.url?.includes("page=2")) sendJson(response, hub.listing());
      else if (request.url?.includes("/tree/")) response.writeHead(200, { link }).end("[]");
      else return false;
      return true;
    };
    await expectPulled(fetchModel());
  });
});

describe("an abort", () => {
  it("stops the download at once and keeps the partial file", async () => {
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
    await expectPulled(fetchModel());
    expect(hub.fetched.at(-1)).toBe("model.gguf bytes=200000-");
  });

  it("stops waiting for the server", async () => {
    const controller = new AbortController();
    hub.onApi = always((_, response) => void response.writeHead(429, { "retry-after": "100" }).end());
    const pulled = fetchModel({ signal: controller.signal, onNotice: () => controller.abort(new Error("stop it")) });
    await expect(pulled).rejects.toThrow("stop it");
  });
});

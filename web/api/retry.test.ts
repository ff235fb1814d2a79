import { expect, it } from "vitest";
import { type Connection, RequestFailure } from "./client.ts";
import { persistently, type ServerState, sleepFor } from "./retry.ts";

/** Attempts that fail with these, then succeed; the server's health answers as `health` says. */
async function run(failures: RequestFailure[], health: (Response | Error)[] = []) {
  const states: ServerState[] = [];
  const slept: number[] = [];
  let keys = 0;
  const connection: Connection = {
    ...{ url: "", key: "" },
    fetch: async () => {
      const next = health.shift() ?? new Response("{}");
      if (next instanceof Error) throw next;
      return next;
    },
  };
  const result = await persistently(
    async () => {
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      return "text";
    },
    {
      signal: new AbortController().signal,
      connection: () => connection,
      onState: (state) => states.push(state),
      nextKey: async () => void keys++,
      sleep: async (ms) => void slept.push(ms),
    },
  );
  return { result, states: states.map(({ kind }) => kind), slept, keys };
}

it("waits until the server is back", async () => {
  const gone = new TypeError("fetch failed");
  const loading = new Response("{}", { status: 503 });
  expect(await run([new RequestFailure("gone", "")], [gone, gone, loading])).toEqual({
    ...{ result: "text", states: ["gone", "ready"], slept: [500, 1000, 2000], keys: 0 },
  });
});

it("waits as long as a busy server says", async () => {
  const busy = [new RequestFailure("busy", "full", 7), new RequestFailure("busy", "full")];
  expect(await run(busy)).toMatchObject({ states: ["busy", "busy", "ready"], slept: [7000, 2000] });
});

it("asks for a key", async () => {
  expect(await run([new RequestFailure("key", "wrong key")])).toMatchObject({ states: ["key", "ready"], keys: 1 });
});

it("gives up on requests that are refused, and on abort", async () => {
  await expect(run([new RequestFailure("refused", "no such key")])).rejects.toMatchObject({ kind: "refused" });
  await expect(sleepFor(60_000, AbortSignal.abort())).rejects.toMatchObject({ name: "AbortError" });
});

import { expect, it, vi } from "vitest";
import { testServers } from "../../../test/support/test-server.ts";

const start = testServers();

/** A measurement that ends when the test says so. */
function measurement() {
  const state = { started: 0, end: () => {} };
  const doctor = () => {
    state.started++;
    return new Promise<{ report: string; figures: object }>((resolve) => {
      state.end = () => resolve({ report: "CPU  one\n", figures: { cpu: "one" } });
    });
  };
  return { state, doctor };
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 1));
}

it("measures only when asked, once for all who ask meanwhile", async () => {
  const { state, doctor } = measurement();
  const { get, post } = await start({ doctor });
  await (await get("/metrics")).text();
  expect(state.started).toBe(0);
  const answers = [post("/doctor", {}), post("/doctor", {})];
  await until(() => state.started > 0);
  // Both have arrived: the second one is not a measurement of its own.
  await (await get("/health")).text();
  state.end();
  for (const answer of answers) {
    expect(await (await answer).json()).toEqual({ report: "CPU  one\n", figures: { cpu: "one" }, disturbed: false });
  }
  expect(state.started).toBe(1);
  const again = post("/doctor", {});
  await until(() => state.started > 1);
  state.end();
  expect((await again).status).toBe(200);
});

it("says that the figures are disturbed if requests ran meanwhile", async () => {
  const { state, doctor } = measurement();
  const { post, engines } = await start({ doctor });
  await (await post("/v1/completions", { model: "m", prompt: "a", max_tokens: 2 })).text();
  const [engine] = engines;
  if (engine === undefined) throw new Error("no model was loaded");
  const idle = engine.stats();
  expect(idle.sequences).toEqual([]);
  const stats = vi.spyOn(engine, "stats").mockReturnValue(idle);
  const asked = post("/doctor", {});
  await until(() => state.started > 0);
  // A request that began and ended during the measurement.
  const { length } = stats.mock.calls;
  stats.mockReturnValue({ ...idle, sequences: [{ isRunning: true, promptTokens: 1, generatedTokens: 1 }] });
  await until(() => stats.mock.calls.length > length);
  stats.mockReturnValue(idle);
  state.end();
  expect(await (await asked).json()).toMatchObject({ disturbed: true });
});

it("needs a key where the server wants one, and says where it cannot measure", async () => {
  const { doctor, state } = measurement();
  const locked = await start({ doctor, settings: { apiKeys: ["key-of-a-client"] } });
  expect((await locked.post("/doctor", {})).status).toBe(401);
  expect(state.started).toBe(0);
  const without = await start();
  const response = await without.post("/doctor", {});
  expect(response.status).toBe(501);
  expect(await response.text()).toContain("idlm doctor");
});

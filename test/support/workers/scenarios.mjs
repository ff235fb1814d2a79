// node scenarios.mjs '{"scenario": …, "library": …, "model": …, "adapter": …}': uses the bundled library in threads as
// the scenario says and prints what it found as JSON. A fault in native code would end the process by a signal.
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { write } from "./write.mjs";

const options = JSON.parse(process.argv[2]);

/** A worker thread, what it tells, and how it ended. */
function start(more = {}) {
  const thread = new Worker(new URL("worker.mjs", import.meta.url), { workerData: { ...options, ...more } });
  const told = { stages: [], tokens: undefined, error: undefined };
  thread.on("message", ({ stage, tokens }) => {
    if (stage !== undefined) told.stages.push(stage);
    else told.tokens = tokens;
  });
  thread.on("error", (error) => {
    told.error = error.message;
  });
  const ended = new Promise((resolve) => thread.on("exit", (status) => resolve({ status, ...told })));
  const reached = (name) =>
    Promise.race([new Promise((resolve) => thread.on("message", ({ stage }) => stage === name && resolve())), ended]);
  return { thread, ended, reached };
}

/** Loads a model and writes without an end. */
async function writeOn(onPart = () => {}) {
  const { load } = await import(options.library);
  const model = await load(options.model, { adapter: options.adapter, threads: 2 });
  const request = { ids: [5, 6, 7], maxTokens: 100, logitBias: { 0: -100, 1: -100, 2: -100 } };
  for (;;) for await (const part of model.generate(request)) if (part.tokens.length > 0) onPart();
}

/** In the main thread and several workers, until each of them writes. */
async function allWrite() {
  const running = [start({ rounds: 1000 }), start({ rounds: 1000 })];
  await new Promise((resolve) => void writeOn(resolve));
  await Promise.all(running.map(({ reached }) => reached("writing, mask")));
  console.log(JSON.stringify({ areWriting: true }));
}

const scenarios = {
  /** Several workers at once, and the main thread. */
  async together() {
    const running = [start(), start(), start({ threads: 1 })];
    const tokens = await write(options, () => {});
    return { tokens, ended: await Promise.all(running.map(({ ended }) => ended)) };
  },

  /** One after the other: the addon is unloaded with the last thread that uses it. */
  async inTurn() {
    const ended = [];
    for (const rounds of [1, 2, 1]) ended.push(await start({ rounds }).ended);
    return { ended, tokens: await write(options, () => {}) };
  },

  /** Each worker is terminated, throws or exits at another stage. */
  async ending() {
    const { stages, tokens } = await start().ended;
    const ended = [];
    const end = async (stage, how) => {
      const more = { throw: { throwAt: stage }, exit: { exitAt: stage } }[how];
      const one = start(more);
      if (more === undefined) {
        await one.reached(stage);
        await sleep(ended.length % 4);
        await one.thread.terminate();
      }
      const { status, error } = await one.ended;
      ended.push({ stage, how, status, error });
    };
    const queue = stages.flatMap((stage, i) =>
      ["terminate", i % 2 === 0 ? "throw" : "exit"].map((how) => [stage, how]),
    );
    const next = async () => {
      for (let one = queue.shift(); one !== undefined; one = queue.shift()) await end(...one);
    };
    await Promise.all([next(), next(), next()]);
    return { tokens, ended, last: await start().ended };
  },

  async exiting() {
    await allWrite();
    process.exit(7);
  },

  async throwing() {
    await allWrite();
    throw new Error("thrown by the main thread");
  },

  /** Nothing refers to a model but its generation, or only a promise of its. */
  async collected() {
    const { load } = await import(options.library);
    const open = () => load(options.model, { adapter: options.adapter, threads: 2 });
    const nTokens = [];
    for (const propose of ["none", "mask"]) {
      const generation = (await open()).generate({ ids: [5, 6, 7], propose, maxTokens: 20, logitBias: { 0: -100 } });
      for await (const _ of generation) global.gc();
      nTokens.push((await generation.result).tokens.length);
    }
    const forward = (await open()).forward({ tokens: [5, 6], positions: [0, 1], parents: [-1, 0], gate: [0, 0] });
    for (let i = 0; i < 5; i++) await sleep(1).then(global.gc);
    return { nTokens, rows: Object.keys((await forward).logits) };
  },

  /** A reader that throws. */
  async reader() {
    const error = await writeOn(() => {
      throw new Error("thrown by the reader");
    }).catch(({ message }) => message);
    return { error, tokens: await write(options, () => {}) };
  },
};

const found = await scenarios[options.scenario]();
console.log(JSON.stringify(found));

// A worker thread of scenarios.mjs: posts each stage before it begins, and at last the tokens. `throwAt` and `exitAt`
// name a stage in which it ends itself.
import { parentPort, workerData } from "node:worker_threads";
import { write } from "./write.mjs";

const stage = (name) => {
  parentPort.postMessage({ stage: name });
  if (name === workerData.throwAt) throw new Error(`thrown while ${name}`);
  if (name === workerData.exitAt) process.exit(3);
};

stage("importing");
for (let round = 0; round < (workerData.rounds ?? 1); round++) {
  parentPort.postMessage({ tokens: await write(workerData, stage) });
}

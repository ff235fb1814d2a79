import { parentPort } from "node:worker_threads";
import { IdlmError } from "../../errors.ts";
import { Automaton } from "../automaton/automaton.ts";
import { programOf } from "../grammar.ts";
import { GRAMMAR_PATH } from "../grammars.ts";
import { treeOf } from "../vocabulary.ts";
import type { GrammarJob, GrammarReply } from "./messages.ts";

/** The thread that GrammarThread starts: answers one job after the other. */
const port = parentPort;
if (port === null) throw new TypeError("this file is the program of a worker thread");
port.on("message", (job: GrammarJob) => {
  const reply = replyTo(job);
  port.postMessage(reply, "value" in reply ? buffersOf(reply.value) : []);
});
port.postMessage("ready");

function replyTo(job: GrammarJob): GrammarReply {
  if (job.kind === "vocabulary") return { value: treeOf(job.texts) };
  try {
    const program = programOf(JSON.parse(job.json), GRAMMAR_PATH);
    // Also refused here: what is too ambiguous to be started.
    new Automaton(program, GRAMMAR_PATH);
    return { value: program };
  } catch (error) {
    if (error instanceof IdlmError) return { error: error.data };
    throw error;
  }
}

/** They are handed over, not copied. */
function buffersOf(value: object): ArrayBuffer[] {
  const all: unknown[] = Object.values(value);
  return all.flatMap((one) => (ArrayBuffer.isView(one) && one.buffer instanceof ArrayBuffer ? [one.buffer] : []));
}

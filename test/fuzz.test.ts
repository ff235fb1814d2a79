import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkVocabulary, forestOf, readForestFile } from "../src/cli/options/forest-file.ts";
import { readLogitBias, readMessagesFile } from "../src/cli/options/messages-file.ts";
import type { LoadedModel } from "../src/compute/loaded-model.ts";
import { createNativeBackend } from "../src/compute/native/index.ts";
import { textOf } from "../src/engine/load/text-tokenizer.ts";
import { IdlmError } from "../src/errors.ts";
import { readAdapter } from "../src/formats/adapter/adapter.ts";
import { openGguf } from "../src/formats/gguf/gguf.ts";
import { readMaskEmbeddingFile } from "../src/formats/adapter/mask-embedding.ts";
import { openSafetensors } from "../src/formats/safetensors/safetensors.ts";
import { openSafetensorsFolder } from "../src/formats/safetensors/safetensors-shards.ts";
import { compileProgram } from "../src/model/compile.ts";
import { openModel } from "../src/model/open/open-model.ts";
import { ChatTemplate } from "../src/tokenizer/index.ts";
import { chain, fixtures } from "./support/backend-contract.ts";
import { type Edit, edits, mutateBytes, mutateGguf, mutateJson, mutateSafetensors } from "./support/mutate.ts";
import { splitGguf } from "./support/split-gguf.ts";

/**
 * Mutated files of every format, opened as commands open them: each either fails with an error of the catalogue, or can
 * be used. `npm run fuzz` runs 100,000; the default is for every run of the tests.
 */
const MUTANTS = Number(process.env.IDLM_FUZZ_MUTANTS ?? 1500);
const SEED = process.env.IDLM_FUZZ_SEED;
/** Of CPU time, so that a busy machine causes no failure. */
const MAX_MS = 1000;
/** Memory besides the files, which are below 1 MB: uncollected heap, and the readers' buffers. */
const MAX_RESIDENT_MB = 400;
/** Address space, including memory that is allocated and never touched. Threads have some, too. */
const MAX_VIRTUAL_MB = 1500;
/** After a hang or crash the file is still in the folder. */
const HANG_MS = 60_000;

const root = mkdtempSync(join(tmpdir(), "idlm-fuzz-"));
const valid = join(fixtures, "hostile", "gguf-valid.gguf");
const beat = new Int32Array(new SharedArrayBuffer(4));
const watchdog = new Worker(
  `const { workerData: { beat, ms, root } } = require("node:worker_threads");
  let last = -1;
  setInterval(() => {
    if (beat[0] === last) {
      require("node:fs").writeSync(2, "fuzz: a mutant hangs; its files are in " + root + "\\n");
      process.kill(process.pid, "SIGKILL");
    }
    last = beat[0];
  }, ms);`,
  { eval: true, workerData: { beat, ms: HANG_MS, root } },
);
watchdog.unref();
afterAll(async () => {
  await watchdog.terminate();
  rmSync(root, { recursive: true });
});

const memory = () => {
  const field = (name: string) => Number(new RegExp(`${name}:\\s*(\\d+) kB`).exec(status)?.[1] ?? 0) / 1024;
  const status = process.platform === "linux" ? readFileSync("/proc/self/status", "utf8") : "";
  return { resident: process.resourceUsage().maxRSS / 1024, virtual: field("VmPeak") };
};

/** A mutated file in a valid folder: written, opened, then replaced by the original. */
interface Target {
  readonly folder: string;
  readonly files: readonly string[];
  readonly headerBytes?: number;
  readonly open: (folder: string, file: string) => void | Promise<void>;
}

function mutant(folder: string, file: string, list: readonly Edit[], headerBytes?: number): Buffer {
  const path = join(folder, file);
  const original = readFileSync(path);
  if (list[0]?.inside === true) {
    if (file.endsWith(".json")) return Buffer.from(mutateJson(original.toString(), list));
    if (file.endsWith(".safetensors")) return mutateSafetensors(original, list);
    if (file.endsWith(".gguf") && !file.includes("-of-")) {
      try {
        const changed = join(root, "changed.gguf");
        mutateGguf(path, changed, list);
        return readFileSync(changed);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    }
  }
  return mutateBytes(original, list, headerBytes);
}

async function fuzz(share: number, { folder, files, headerBytes, open }: Target): Promise<void> {
  const outcomes = { refused: 0, read: 0, slowestMs: 0 };
  const before = memory();
  const property = fc.asyncProperty(fc.nat(files.length - 1), edits, async (which, list) => {
    beat[0] = (beat[0] ?? 0) + 1;
    const file = files[which] as string;
    const path = join(folder, file);
    const original = readFileSync(path);
    const changed = mutant(folder, file, list, headerBytes);
    // Writes in place, so that links to the file stay valid.
    writeFileSync(path, changed);
    const start = process.cpuUsage();
    try {
      await open(folder, file);
      outcomes.read++;
    } catch (error) {
      if (!(error instanceof IdlmError)) throw error;
      expect(error.message.length, error.message).toBeLessThan(2000);
      outcomes.refused++;
    } finally {
      writeFileSync(path, original);
    }
    const { user, system } = process.cpuUsage(start);
    outcomes.slowestMs = Math.max(outcomes.slowestMs, (user + system) / 1000);
    expect(outcomes.slowestMs).toBeLessThan(MAX_MS);
  });
  const numRuns = Math.ceil(MUTANTS * share);
  await fc.assert(property, { numRuns, ...(SEED === undefined ? {} : { seed: Number(SEED) }) });
  const after = memory();
  const grown = { resident: after.resident - before.resident, virtual: after.virtual - before.virtual };
  if (MUTANTS >= 10_000) {
    const figures = `${numRuns} mutants, ${outcomes.refused} refused, ${outcomes.read} read, slowest ${outcomes.slowestMs.toFixed(0)} ms`;
    console.log(
      `${figures}, peak memory +${grown.resident.toFixed(0)} MB, address space +${grown.virtual.toFixed(0)} MB`,
    );
  }
  // Both must occur for the test to be meaningful.
  expect(outcomes.refused).toBeGreaterThan(0);
  expect(outcomes.read).toBeGreaterThan(0);
  expect(grown.resident).toBeLessThan(MAX_RESIDENT_MB);
  expect(grown.virtual).toBeLessThan(MAX_VIRTUAL_MB);
}

function folderOf(name: string, fill: (folder: string) => void): string {
  const folder = join(root, name);
  mkdirSync(folder);
  fill(folder);
  return folder;
}

const native = createNativeBackend({ threads: 1 });

/** Everything a command does with a model up to its first logits. */
async function use(path: string, kind: "gguf" | "huggingface"): Promise<void> {
  const model = openModel(path, kind);
  let loaded: LoadedModel;
  try {
    const program = compileProgram(model);
    const { tokenizer } = textOf(model);
    tokenizer?.encode("Hello ½ world\n", { special: true });
    // A mutated count may turn a small file into a model of gigabytes, which is not the subject of this test.
    loaded = await native.load(program);
  } finally {
    model.close();
  }
  try {
    await loaded.forward(chain([0], 0, [0]), loaded.createCache(1));
  } finally {
    loaded.dispose();
  }
}

const messages = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Hi <|im_end|>" },
];
const template =
  "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}{{ raise_exception('no system') }}{% endif %}" +
  "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] | trim + '<|im_end|>' + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}{% set n = namespace(x=0) %}" +
  "{% for i in range(3) %}{% set n.x = n.x + i %}{% endfor %}{{ n.x }}{{ messages | tojson }}";

/** Adds a tokenizer.json with the valid model's vocabulary, and the folder's other text settings. */
function addText(folder: string): void {
  const file = openGguf(valid);
  const tokens = file.metadata.get("tokenizer.ggml.tokens") as readonly string[];
  const merges = file.metadata.get("tokenizer.ggml.merges") as readonly string[];
  file.close();
  const write = (name: string, value: unknown) => writeFileSync(join(folder, name), JSON.stringify(value));
  const split = {
    type: "Split",
    pattern: { Regex: "\\p{L}+|\\s+|[^\\s\\p{L}]+" },
    behavior: "Isolated",
    invert: false,
  };
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
  write("tokenizer.json", {
    version: "1.0",
    added_tokens: [{ id: 0, content: tokens[0], special: true }],
    normalizer: { type: "NFC" },
    pre_tokenizer: { type: "Sequence", pretokenizers: [split, byteLevel] },
    post_processor: { type: "TemplateProcessing", single: [{ SpecialToken: { id: tokens[0] } }] },
    decoder: byteLevel,
    model: { type: "BPE", unk_token: null, vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges },
  });
  write("tokenizer_config.json", { bos_token: tokens[0], eos_token: { content: tokens[0] }, chat_template: template });
  write("generation_config.json", { eos_token_id: [0, 1] });
}

describe("mutated files are rejected, or can be used", () => {
  let tiny: LoadedModel;
  beforeAll(async () => {
    const model = openModel(join(fixtures, "models", "llama-tiny"), "huggingface");
    tiny = await native.load(
      compileProgram(model, { adapter: readAdapter(join(fixtures, "idlm", "llama-tiny-entry0")) }),
    );
    model.close();
  });
  afterAll(() => tiny.dispose());
  const timeout = 3_600_000;

  it(
    "GGUF",
    async () => {
      const folder = folderOf("gguf", (to) => cpSync(valid, join(to, "model.gguf")));
      const open = (at: string, file: string) => use(join(at, file), "gguf");
      await fuzz(0.2, { folder, files: ["model.gguf"], headerBytes: 6500, open });
    },
    timeout,
  );

  it(
    "a split GGUF",
    async () => {
      const folder = folderOf("split", (to) => splitGguf(valid, to, 3));
      const files = [1, 2, 3].map((i) => `model-0000${i}-of-00003.gguf`);
      const open = (at: string, file: string) => use(join(at, file), "gguf");
      await fuzz(0.1, { folder, files, headerBytes: 1000, open });
    },
    timeout,
  );

  it(
    "safetensors",
    async () => {
      const from = join(fixtures, "peft", "qwen3-tiny-patterns", "adapter_model.safetensors");
      const folder = folderOf("safetensors", (to) => cpSync(from, join(to, "a.safetensors")));
      const open = (at: string, file: string) => {
        const opened = openSafetensors(join(at, file));
        for (const tensor of opened.tensors.values()) void tensor.bytes;
        opened.close();
      };
      await fuzz(0.15, { folder, files: ["a.safetensors"], headerBytes: 1200, open });
    },
    timeout,
  );

  it(
    "the index of shards, and a shard",
    async () => {
      const from = join(fixtures, "models", "qwen3-sharded");
      const folder = folderOf("sharded", (to) => cpSync(from, to, { recursive: true }));
      const open = (at: string) => openSafetensorsFolder(at).close();
      const files = ["model.safetensors.index.json", "model-00004-of-00004.safetensors"];
      await fuzz(0.1, { folder, files, headerBytes: 4000, open });
    },
    timeout,
  );

  it(
    "an adapter's four files",
    async () => {
      const from = join(fixtures, "idlm", "llama-tiny-entry1");
      const folder = folderOf("adapter", (to) => cpSync(from, to, { recursive: true }));
      const files = ["adapter_config.json", "adapter_model.safetensors", "idlm_config.json", "idlm.safetensors"];
      const model = openModel(join(fixtures, "models", "llama-tiny"), "huggingface");
      const open = (at: string, file: string) => {
        if (file === "idlm.safetensors") readMaskEmbeddingFile(join(at, file));
        compileProgram(model, { adapter: readAdapter(at) });
      };
      await fuzz(0.15, { folder, files, headerBytes: 1500, open });
      model.close();
    },
    timeout,
  );

  it(
    "a model folder's config, tokenizer and other texts",
    async () => {
      const folder = folderOf("folder", (to) => {
        cpSync(join(fixtures, "hostile", "dir-valid"), to, { recursive: true });
        addText(to);
        writeFileSync(join(to, "chat_template.jinja"), template);
      });
      const texts = ["tokenizer_config.json", "generation_config.json", "chat_template.jinja"];
      const files = ["config.json", "tokenizer.json", "tokenizer.json", ...texts];
      await fuzz(0.15, { folder, files, open: (at) => use(at, "huggingface") });
    },
    timeout,
  );

  it(
    "a chat template",
    async () => {
      const folder = folderOf("template", (to) => writeFileSync(join(to, "template.jinja"), template));
      const open = async (at: string, file: string) => {
        const source = readFileSync(join(at, file), "utf8");
        await new ChatTemplate(source, "template").render({ messages });
      };
      await fuzz(0.05, { folder, files: ["template.jinja"], open });
    },
    timeout,
  );

  it(
    "a forest",
    async () => {
      const { "round-quadratic": forest } = JSON.parse(
        readFileSync(join(fixtures, "gated", "llama-tiny", "forests.json"), "utf8"),
      );
      const folder = folderOf("forest", (to) => writeFileSync(join(to, "forest.json"), JSON.stringify(forest)));
      const open = async (at: string, file: string) => {
        const path = join(at, file);
        const read = readForestFile(path);
        checkVocabulary(path, read, tiny.program.sizes.vocabSize);
        const { forest, nPages } = forestOf(read);
        const cache = tiny.createCache(nPages);
        await tiny.forward(forest, cache);
        cache.dispose();
      };
      await fuzz(0.05, { folder, files: ["forest.json"], open });
    },
    timeout,
  );

  it(
    "messages and biases",
    async () => {
      const folder = folderOf("messages", (to) => {
        writeFileSync(join(to, "messages.json"), JSON.stringify(messages));
        writeFileSync(join(to, "bias.json"), JSON.stringify({ 1: -100, 22: 0.5, 319: 3 }));
      });
      const open = (at: string, file: string) => {
        if (file === "bias.json") readLogitBias(join(at, file));
        else readMessagesFile(join(at, file));
      };
      await fuzz(0.05, { folder, files: ["messages.json", "bias.json"], open });
    },
    timeout,
  );
});

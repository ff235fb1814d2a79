import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { openGguf } from "../../formats/gguf/gguf.ts";
import { type GgufTensorToWrite, writeGguf } from "../../formats/gguf/gguf-writer.ts";
import { collect } from "../terminal/collect-io.ts";

const fixtures = fileURLToPath(new URL("../../../test/fixtures/", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "idlm-inspect-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function json(path: string) {
  const { status, stdout, stderr } = await collect(["inspect", path, "--json"]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout);
}

describe("idlm inspect", () => {
  it("shows a GGUF model's config, keys and tensors", async () => {
    const path = join(fixtures, "gguf/tiny64-Q8_0.gguf");
    const result = await json(path);
    expect(result).toMatchObject({
      path,
      kind: "model",
      format: "gguf",
      whole: true,
      bytes: 117_920,
      model: { architecture: "llama", nLayers: 2, hiddenSize: 64, vocabSize: 320, contextLength: 512 },
      tokenizer: { model: "gpt2", pre: "smollm", nTokens: 320, nMerges: 60, hasChatTemplate: true },
      metadata: { "general.name": "tiny64", "tokenizer.ggml.tokens": { length: 320 } },
      types: [
        { type: "Q8_0", tensors: 16, bytes: 108_800 },
        { type: "F32", tensors: 5, parameters: 320 },
      ],
    });
    expect(result.tensors).toHaveLength(21);
    const embedding = result.tensors.find(({ name }: { name: string }) => name === "token_embd.weight");
    expect(embedding).toMatchObject({ type: "Q8_0", shape: [320, 64], bytes: (320 * 64 * 34) / 32, file: path });
    expect(result.parameters).toBe(102_720);
  });

  it("shows a model folder, its shards and an adapter", async () => {
    const sharded = await json(join(fixtures, "models/qwen3-sharded"));
    expect(sharded).toMatchObject({
      kind: "model",
      format: "huggingface",
      model: { architecture: "qwen3", nLayers: 4 },
    });
    expect(sharded.files).toHaveLength(4);
    expect(new Set(sharded.tensors.map(({ file }: { file: string }) => file)).size).toBe(4);
    const index = await json(join(fixtures, "models/qwen3-sharded/model.safetensors.index.json"));
    expect(index).toMatchObject({ kind: "container", format: "safetensors", tensors: sharded.tensors });

    expect(await json(join(fixtures, "idlm/llama-tiny-entry1"))).toMatchObject({
      kind: "adapter",
      format: "peft",
      adapter: {
        baseModel: "llama-tiny",
        rank: 4,
        alpha: 8,
        nModules: 7,
        depths: 3,
        entryLayer: 1,
        hasSamplerHead: true,
      },
    });
    const patterns = await json(join(fixtures, "peft/qwen3-tiny-patterns"));
    expect(patterns.adapter.ranks.length).toBeGreaterThan(1);
    expect(patterns.adapter).not.toHaveProperty("depths");
  });

  it("counts a folder's tokens, and reports an unsupported tokenizer", async () => {
    const path = join(folder, "with-tokenizer");
    cpSync(join(fixtures, "models/llama-tiny"), path, { recursive: true });
    const tokenizer = (json: object) => writeFileSync(join(path, "tokenizer.json"), JSON.stringify(json));
    const added = [{ id: 2, content: "<end>", special: true }];
    tokenizer({ added_tokens: added, model: { type: "BPE", vocab: { a: 0, b: 1 }, merges: [] } });
    expect((await json(path)).tokenizer).toEqual({ model: "BPE", nTokens: 3, nMerges: 0, hasChatTemplate: false });
    tokenizer({ added_tokens: [], model: { type: "Unigram", vocab: [["a", -1]] } });
    writeFileSync(join(path, "tokenizer_config.json"), '{"chat_template": "x"}');
    expect(await json(path)).toMatchObject({
      whole: true,
      tokenizer: { model: "Unigram", nTokens: 1, hasChatTemplate: true },
      problem: {
        code: "unsupported",
        message: expect.stringMatching(/tokenizer\.json: a tokenizer of type "Unigram" is/),
      },
    });
    tokenizer({
      added_tokens: [],
      model: { type: "BPE", vocab: { a: 0 }, merges: [] },
      pre_tokenizer: { type: "Odd" },
    });
    expect((await json(path)).problem.message).toContain('the pre-tokenizer "Odd" is not supported');
  });

  it.each([
    ["tokenizer.ggml.pre", "deepseek-llm", /the pre-tokenizer "deepseek-llm" is not supported\. Supported are default/],
    ["tokenizer.ggml.model", "bert", /the tokenizer "bert" is not supported/],
  ])(
    "reports the same problem as loading for a GGUF with an unsupported %s, with status 0",
    async (key, value, message) => {
      const [from, path] = [openGguf(join(fixtures, "gguf/tiny64-Q8_0.gguf")), join(folder, "other-tokenizer.gguf")];
      const tensors = [...from.tensors.values()].map(({ name, type, shape, bytes }): GgufTensorToWrite => {
        return { name, type, dimensions: [...shape].reverse(), data: bytes };
      });
      const metadata = [...from.metadata, [key, value] as const];
      writeGguf(path, { metadata, tensors });
      from.close();
      const { problem, ...facts } = await json(path);
      expect(facts).toMatchObject({ kind: "model", whole: true, tokenizer: { nTokens: 320 } });
      expect(problem).toEqual({ code: "unsupported", message: expect.stringMatching(message) });
      expect((await collect(["inspect", path])).stdout).toContain(`cannot be run  ${problem.message}`);
      const loaded = await collect(["run", path, "--raw", "a"]);
      expect(loaded.status).toBe(3);
      expect(loaded.stderr).toContain(problem.message);
      // Also for a file with only a vocabulary.
      writeGguf(path, { metadata, tensors: [] });
      expect(await json(path)).toMatchObject({ kind: "container", whole: true, problem });
    },
  );

  it("shows containers, including those without tensors or without a file extension", async () => {
    expect(await json(join(fixtures, "hostile/st-no-tensors.safetensors"))).toMatchObject({
      kind: "container",
      tensors: [],
      bytes: 16,
    });
    const vocabulary = join(folder, "vocabulary.gguf");
    writeGguf(vocabulary, { metadata: [["general.architecture", "llama"]], tensors: [] });
    expect(await json(vocabulary)).toMatchObject({ kind: "container", whole: true, model: { architecture: "llama" } });
    for (const name of ["gguf/blocks.safetensors", "gguf/tiny64-F16.gguf"]) {
      const bare = join(folder, "bare");
      cpSync(join(fixtures, name), bare);
      const [renamed, original] = [await json(bare), await json(join(fixtures, name))];
      expect(renamed.format).toBe(original.format);
      expect(renamed.tensors.length).toBe(original.tensors.length);
    }
  });

  it("says why a valid but unsupported model cannot be run, with status 0", async () => {
    const other = join(folder, "other.gguf");
    const tensors: GgufTensorToWrite[] = [{ name: "output_norm.weight", dimensions: [8], type: "F32" }];
    writeGguf(other, {
      metadata: [
        ["general.architecture", "gemma3"],
        ["gemma3.block_count", 26],
        ["x.large", 2n ** 60n],
        ["x.nan", Number.NaN],
      ],
      tensors,
    });
    expect(await json(other)).toMatchObject({
      whole: true,
      problem: { code: "unsupported" },
      model: { architecture: "gemma3", nLayers: 26 },
      metadata: { "x.large": "1152921504606846976", "x.nan": "NaN" },
    });
    const text = await collect(["inspect", other]);
    expect(text).toMatchObject({ status: 0, stderr: "" });
    expect(text.stdout).toMatch(/^cannot be run +.*gemma3/m);
    const dora = join(folder, "dora");
    cpSync(join(fixtures, "peft/llama-tiny-lora"), dora, { recursive: true });
    const config = JSON.parse(readFileSync(join(dora, "adapter_config.json"), "utf8"));
    writeFileSync(join(dora, "adapter_config.json"), JSON.stringify({ ...config, use_dora: true }));
    expect(await json(dora)).toMatchObject({ kind: "adapter", whole: true, problem: { code: "unsupported" } });
  });

  const hostile = JSON.parse(readFileSync(join(fixtures, "hostile/manifest.json"), "utf8")) as {
    readonly file: string;
    readonly expect: "error" | "loads" | "either";
    readonly level: "format" | "model";
  }[];

  it.each(hostile.filter((c) => c.expect !== "either"))("$file: $wrong", async ({ file, expect: due, level }) => {
    const path = join(fixtures, "hostile", file);
    for (const how of [[], ["--json"]]) {
      const { status, stdout, stderr } = await collect(["inspect", path, ...how]);
      expect(status).toBe(due === "loads" ? 0 : 3);
      if (due === "error") expect(stderr).toContain(file);
      // Problems of the model, not of its container, are reported after the metadata.
      if (level === "format" && due === "error") expect(stdout).toBe("");
      if (level === "model" && how.length > 0 && stdout !== "") {
        expect(JSON.parse(stdout)).toMatchObject({ whole: due === "loads" });
      }
    }
  });

  it("truncates long values, except with --verbose, and escapes control characters", async () => {
    const path = join(folder, "long.gguf");
    const long = `\x1b[31m${"long ".repeat(100)}end`;
    writeGguf(path, {
      metadata: [
        ["general.architecture", "other"],
        ["x.text", long],
      ],
      tensors: [],
    });
    const cut = (await collect(["inspect", path])).stdout;
    const whole = (await collect(["inspect", path, "--verbose"])).stdout;
    expect(cut).not.toContain("end");
    expect(whole).toContain("long end");
    expect(cut + whole).not.toContain("\x1b");
  });

  it("rejects other files and missing files", async () => {
    const text = join(folder, "notes.txt");
    writeFileSync(text, "some notes");
    expect(await collect(["inspect", text])).toMatchObject({ status: 3, stdout: "" });
    expect(await collect(["inspect", folder])).toMatchObject({ status: 3, stdout: "" });
    expect((await collect(["inspect", join(folder, "nothing.gguf")])).status).toBe(3);
  });
});

/** Bytes that this process has read so far, counted by Linux. */
const bytesRead = () => Number(/^rchar: (\d+)/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1]);

describe.skipIf(process.platform !== "linux")("idlm inspect reads headers only", () => {
  const SIZE = 40e9;
  /** A header is read in windows of 1 MiB. */
  const MAX_READ = 4 * 2 ** 20;

  async function bytesOfInspect(path: string) {
    const before = bytesRead();
    const result = await json(path);
    expect(result.bytes).toBeGreaterThan(SIZE);
    return bytesRead() - before;
  }

  it("of a GGUF model of 40 GB", async () => {
    const path = join(folder, "large.gguf");
    const [hidden, mlp] = [4096, 1 << 20];
    const matrix = (name: string, dimensions: readonly number[]) => ({ name, dimensions, type: "F32" as const });
    const keys = { context_length: 64, embedding_length: hidden, feed_forward_length: mlp, block_count: 1 };
    writeGguf(path, {
      metadata: [
        ["general.architecture", "llama"],
        ...Object.entries(keys).map(([key, value]) => [`llama.${key}`, value] as const),
        ["llama.attention.head_count", 32],
        ["llama.attention.layer_norm_rms_epsilon", 1e-5],
      ],
      tensors: [
        matrix("token_embd.weight", [hidden, 8]),
        ...["attn_norm", "ffn_norm"].map((name) => matrix(`blk.0.${name}.weight`, [hidden])),
        ...["attn_q", "attn_k", "attn_v", "attn_output"].map((name) =>
          matrix(`blk.0.${name}.weight`, [hidden, hidden]),
        ),
        ...["ffn_gate", "ffn_up"].map((name) => matrix(`blk.0.${name}.weight`, [hidden, mlp])),
        matrix("blk.0.ffn_down.weight", [mlp, hidden]),
        matrix("output_norm.weight", [hidden]),
      ],
    });
    expect(await bytesOfInspect(path)).toBeLessThan(MAX_READ);
    const { problem, model } = await json(path);
    expect({ problem, mlpSize: model.mlpSize }).toEqual({ problem: undefined, mlpSize: mlp });
  });

  /** Writes a sparse safetensors file of F32 zeros. */
  function sparse(path: string, shapes: Readonly<Record<string, readonly number[]>>): void {
    let end = 0;
    const header = Object.entries(shapes).map(([name, shape]) => {
      const begin = end;
      end += 4 * shape.reduce((a, b) => a * b, 1);
      return [name, { dtype: "F32", shape, data_offsets: [begin, end] }];
    });
    const bytes = Buffer.from(JSON.stringify(Object.fromEntries(header)));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(bytes.length));
    writeFileSync(path, Buffer.concat([length, bytes]));
    truncateSync(path, 8 + bytes.length + end);
  }

  it("of a safetensors file of 40 GB", async () => {
    const path = join(folder, "large.safetensors");
    sparse(path, { a: [100_000, 100_001] });
    expect(await bytesOfInspect(path)).toBeLessThan(MAX_READ);
  });

  it("of an adapter of 40 GB", async () => {
    const path = join(folder, "large-adapter");
    cpSync(join(fixtures, "peft/llama-tiny-lora"), path, { recursive: true });
    const config = { peft_type: "LORA", r: 4, lora_alpha: 4, target_modules: ["q_proj"], bias: "none" };
    writeFileSync(join(path, "adapter_config.json"), JSON.stringify(config));
    const name = "base_model.model.model.layers.0.self_attn.q_proj.lora_";
    sparse(join(path, "adapter_model.safetensors"), {
      [`${name}A.weight`]: [4, 2_000_000_000],
      [`${name}B.weight`]: [1_000_000_000, 4],
    });
    expect(await bytesOfInspect(path)).toBeLessThan(MAX_READ);
  });
});

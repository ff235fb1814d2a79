import {
  DRAFT_VOCABULARY,
  HEAD_INPUT,
  type HeadProgram,
  type Heads,
  type Parameter,
} from "../../compute/program/program.ts";
import { ListBuilder } from "./list-builder.ts";
import { adapterParameters } from "./parameters.ts";

/** What heads share with the forward. */
export interface HeadOptions {
  readonly hiddenSize: number;
  readonly embedding: string;
  readonly output: string;
  readonly epsilon: number;
  readonly hasSampler: boolean;
  readonly nMedusa: number;
}

/** The lists of the heads that have parameters. */
export function headsOf(parameters: Readonly<Record<string, Parameter>>, options: HeadOptions): Heads {
  const extra = Array.from({ length: options.nMedusa }, (_, head) => medusaHead(parameters, options, head));
  return { ...(options.hasSampler && { sampler: samplerHead(parameters, options) }), extra };
}

/** h' = h + w2 · silu(w1 · [h; e]), e the embedding of the previous token over its root mean square; logits of h'. */
function samplerHead(parameters: Readonly<Record<string, Parameter>>, options: HeadOptions): HeadProgram {
  const { hiddenSize, embedding, epsilon } = options;
  const { list, end } = headList(parameters, options);
  const named = (part: string) => `sampler_head.${part}`;
  const previous = list.add("embed", "head", named("previous"), {}, { weight: embedding }, {});
  const scaled = list.add(
    "rmsnorm",
    "head",
    named("previous_norm"),
    { x: previous },
    {},
    { epsilon, width: hiddenSize },
  );
  const joined = list.add("concat", "head", named("joined"), { x: HEAD_INPUT, y: scaled }, {}, {});
  const inner = list.add("linear", "head", named("w1"), { x: joined }, { weight: adapterParameters.w1 }, {});
  const active = list.add("silu", "head", named("silu"), { x: inner }, {}, {});
  const change = list.add("linear", "head", named("w2"), { x: active }, { weight: adapterParameters.w2 }, {});
  return end(named("hidden"), change, named("logits"));
}

/** h' = h + silu(weight · h + bias); logits of h'. (Medusa-1: Cai et al., arXiv 2401.10774, section 2.1.1.) */
function medusaHead(parameters: Readonly<Record<string, Parameter>>, options: HeadOptions, head: number): HeadProgram {
  const { list, end } = headList(parameters, options);
  const named = (part: string) => `medusa.${head}.${part}`;
  const weights = { weight: adapterParameters.medusaWeight(head), bias: adapterParameters.medusaBias(head) };
  const inner = list.add("linear", "head", named("linear"), { x: HEAD_INPUT }, weights, {});
  const change = list.add("silu", "head", named("silu"), { x: inner }, {}, {});
  return end(named("hidden"), change, named("logits"));
}

/** A list that starts with the hidden state; `end` adds a residual to it and appends the logits. */
function headList(parameters: Readonly<Record<string, Parameter>>, { hiddenSize, output }: HeadOptions) {
  const list = new ListBuilder(parameters, { [HEAD_INPUT]: { width: hiddenSize, rows: "head" } });
  const end = (sum: string, change: string, logits: string): HeadProgram => {
    list.add("add", "head", sum, { x: HEAD_INPUT, y: change }, {}, {});
    const ids = DRAFT_VOCABULARY in parameters && { ids: DRAFT_VOCABULARY };
    list.add("logits", "head", logits, { x: sum }, { weight: output, ...ids }, {});
    return { values: list.values, operations: list.operations, logits };
  };
  return { list, end };
}

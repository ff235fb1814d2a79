// Operations that are lowered one by one: how each kind is lowered, and its step.
#include <cmath>
#include <cstring>

#include "executor/run.h"
#include "program/lowering.h"
#include "program/pack.h"

namespace idlm {

namespace {

// The row of the MASK embedding for a depth.
const float* ofDepth(const Run& run, const Step& step, const ForestLayout::Row& row) {
  int depth = row.depth < run.program.nDepths ? row.depth : run.program.nDepths;
  return step.vector + size_t(depth - 1) * size_t(run.program.hidden);
}

// Copies a row and clears its padding.
void fill(const Run& run, int buffer, int r, const float* from) {
  const Buffer& b = run.buffer(buffer);
  float* out = run.row(buffer, r);
  if (from) memcpy(out, from, size_t(b.cols) * 4);
  memset(out + b.cols, 0, size_t(b.width - b.cols) * 4);
}

void runEmbed(Run& run, const Step& step) {
  run.eachRow(step.rows, [&](int r) {
    const ForestLayout::Row& row = run.rows.row(r);
    if (row.token < 0) return fill(run, step.out, r, ofDepth(run, step, row));
    fill(run, step.out, r, nullptr);
    int at = run.program.embeddingIsOutput ? run.program.rowOf(row.token) : row.token;
    unpackRow(run.program.embedding, at, run.row(step.out, r));
  });
}

void lowerEmbed(Lowering& to, const OperationSource& op) {
  LoweredProgram& program = to.program();
  to.expect(!program.embedding.data, "a program reads token rows once");
  to.expect(op.rows == RowSet::Token, "expected on token rows");
  program.embedding = to.weights().matrix(op.parameters.weight);
  program.embeddingIsOutput = to.source().parameters[size_t(op.parameters.weight)].id == to.weights().base().output;
  to.expect(program.embedding.rows == program.vocab && program.embedding.cols == program.hidden &&
                to.width(op.out) == program.hidden,
            "shapes do not fit");
  Step s = to.step("embed", runEmbed);
  s.out = to.buffer(op.out);
  to.emit(std::move(s));
}

void lowerMaskEmbed(Lowering& to, const OperationSource& op) {
  LoweredProgram& program = to.program();
  to.expect(op.rows == RowSet::Mask && program.nDepths >= 1, "expected on MASK rows");
  to.expect(to.width(op.out) == program.hidden, "shapes do not fit");
  const float* embedding =
      to.weights().vector(op.parameters.embedding, size_t(program.nDepths) * size_t(program.hidden));
  int out = to.buffer(op.out);
  // Fused with the embedding of the token rows, if that is the step before.
  if (!program.steps.empty() && program.steps.back().run == runEmbed && program.steps.back().out == out) {
    program.steps.back().rows = RowSet::All, program.steps.back().vector = embedding;
    return;
  }
  Step s = to.step("embed", runEmbed);
  s.out = out, s.vector = embedding;
  to.emit(std::move(s));
}

void runEnter(Run& run, const Step& step) {
  run.eachRow(step.rows, [&](int r) {
    const ForestLayout::Row& row = run.rows.row(r);
    const float *from = run.row(step.x, row.anchor), *own = ofDepth(run, step, row);
    fill(run, step.out, r, nullptr);
    float* out = run.row(step.out, r);
    for (int j = 0; j < run.program.hidden; j++) out[j] = from[j] * *step.scale + own[j];
  });
}

void lowerEnter(Lowering& to, const OperationSource& op) {
  const LoweredProgram& program = to.program();
  to.expect(op.rows == RowSet::Mask && program.nDepths >= 1 && program.entryLayer > 0, "expected on MASK rows");
  to.expect(to.rowsOf(op.inputs.x) == RowSet::Token && to.width(op.inputs.x) == program.hidden &&
                to.width(op.out) == program.hidden,
            "shapes do not fit");
  Step s = to.step("enter", runEnter);
  s.x = to.buffer(op.inputs.x), s.out = to.buffer(op.out);
  s.vector = to.weights().vector(op.parameters.embedding, size_t(program.nDepths) * size_t(program.hidden));
  s.scale = to.weights().vector(op.parameters.scale, 1);
  to.emit(std::move(s));
}

// Its inputs already share the buffer of the result.
void lowerJoin(Lowering& to, const OperationSource& op) {
  to.expect(op.rows == RowSet::All && to.rowsOf(op.inputs.token) == RowSet::Token &&
                to.rowsOf(op.inputs.mask) == RowSet::Mask,
            "expected of token rows and MASK rows");
  to.buffer(op.out);
}

void runNorm(Run& run, const Step& step) {
  run.eachRow(step.rows, [&](int r) {
    for (int h = 0; h < step.heads; h++)
      run.k.rmsnorm(run.row(step.x, r) + h * step.cols, step.vector, step.cols, step.epsilon,
                    run.row(step.out, r) + h * step.cols);
    if (step.quantises) run.quantiseRow(step.out, r);
  });
}

void lowerNorm(Lowering& to, const OperationSource& op) {
  int x = to.width(op.inputs.x), cols = op.attributes.width;
  to.expect(cols >= 1 && x % cols == 0 && to.width(op.out) == x, "shapes do not fit");
  Step s = to.step(cols == x ? "norm" : "headNorm", runNorm);
  s.x = to.buffer(op.inputs.x), s.out = to.buffer(op.out);
  s.cols = cols, s.heads = x / cols;
  s.epsilon = float(op.attributes.epsilon);
  if (op.parameters.weight != NONE) s.vector = to.weights().vector(op.parameters.weight, size_t(cols));
  s.canQuantise = true;
  to.emit(std::move(s));
}

void runRope(Run& run, const Step& step) {
  run.eachRow(step.rows, [&](int r) {
    float* out = run.row(step.out, r);
    if (step.out != step.x) fill(run, step.out, r, run.row(step.x, r));
    for (int h = 0; h < step.heads; h++) {
      size_t angles = size_t(r) * size_t(step.headDim / 2);
      run.k.rope(out + h * step.headDim, run.memory.cosine.data() + angles, run.memory.sine.data() + angles,
                 step.headDim);
    }
  });
}

void lowerRope(Lowering& to, const OperationSource& op) {
  int x = to.width(op.inputs.x), headDim = op.attributes.headDim;
  to.expect(headDim >= 2 && int(to.program().inverseFrequencies.size()) * 2 == headDim && x % headDim == 0 &&
                to.width(op.out) == x,
            "the rotary embedding has another size of heads");
  to.expect(op.rows == RowSet::Token || op.rows == RowSet::Mask || op.rows == RowSet::All,
            "rows of outputs have no positions");
  Step s = to.step("rope", runRope);
  s.x = to.buffer(op.inputs.x), s.out = to.buffer(op.out);
  s.headDim = headDim, s.heads = x / headDim;
  to.emit(std::move(s));
}

void runSwiglu(Run& run, const Step& step) {
  run.eachRow(step.rows, [&](int r) {
    run.k.swiglu(run.row(step.gate, r), run.row(step.up, r), run.row(step.out, r), run.buffer(step.out).width);
    if (step.quantises) run.quantiseRow(step.out, r);
  });
}

void lowerSwiglu(Lowering& to, const OperationSource& op) {
  to.expect(to.width(op.inputs.gate) == to.width(op.out) && to.width(op.inputs.up) == to.width(op.out),
            "shapes do not fit");
  Step s = to.step("swiglu", runSwiglu);
  s.gate = to.buffer(op.inputs.gate), s.up = to.buffer(op.inputs.up), s.out = to.buffer(op.out);
  s.canQuantise = true;
  to.emit(std::move(s));
}

void runSilu(Run& run, const Step& step) {
  run.eachRow(step.rows, [&](int r) {
    fill(run, step.out, r, run.row(step.x, r));
    run.k.silu(run.row(step.out, r), run.buffer(step.out).width);
  });
}

void lowerSilu(Lowering& to, const OperationSource& op) {
  to.expect(to.width(op.inputs.x) == to.width(op.out), "shapes do not fit");
  Step s = to.step("silu", runSilu);
  s.x = to.buffer(op.inputs.x), s.out = to.buffer(op.out);
  to.emit(std::move(s));
}

void runAdd(Run& run, const Step& step) {
  run.eachRow(step.rows, [&](int r) {
    if (step.out != step.x) fill(run, step.out, r, run.row(step.x, r));
    run.k.add(run.row(step.out, r), run.row(step.y, r), run.buffer(step.out).width);
  });
}

void lowerAdd(Lowering& to, const OperationSource& op) {
  to.expect(to.width(op.inputs.x) == to.width(op.out) && to.width(op.inputs.y) == to.width(op.out),
            "shapes do not fit");
  Step s = to.step("add", runAdd);
  s.x = to.buffer(op.inputs.x), s.y = to.buffer(op.inputs.y), s.out = to.buffer(op.out);
  to.emit(std::move(s));
}

void runConcat(Run& run, const Step& step) {
  run.eachRow(step.rows, [&](int r) {
    const int x = run.buffer(step.x).cols, y = run.buffer(step.y).cols;
    fill(run, step.out, r, nullptr);
    memcpy(run.row(step.out, r), run.row(step.x, r), size_t(x) * 4);
    memcpy(run.row(step.out, r) + x, run.row(step.y, r), size_t(y) * 4);
  });
}

void lowerConcat(Lowering& to, const OperationSource& op) {
  to.expect(to.width(op.inputs.x) + to.width(op.inputs.y) == to.width(op.out), "shapes do not fit");
  Step s = to.step("concat", runConcat);
  s.x = to.buffer(op.inputs.x), s.y = to.buffer(op.inputs.y), s.out = to.buffer(op.out);
  to.emit(std::move(s));
}

void runGather(Run& run, const Step& step) {
  run.eachRow(step.rows, [&](int r) {
    memcpy(run.row(step.out, r), run.row(step.x, run.rows.layout().outputs()[r]),
           size_t(run.buffer(step.out).width) * 4);
  });
}

void lowerGather(Lowering& to, const OperationSource& op) {
  RowSet from = to.rowsOf(op.inputs.x);
  to.expect(to.width(op.inputs.x) == to.width(op.out), "shapes do not fit");
  to.expect((op.rows == RowSet::Output && from == RowSet::All) ||
                (op.rows == RowSet::OutputToken && (from == RowSet::All || from == RowSet::Token)),
            "expected from all rows that it takes");
  Step s = to.step("gather", runGather);
  s.x = to.buffer(op.inputs.x), s.out = to.buffer(op.out);
  to.emit(std::move(s));
}

struct Kind {
  const char* name;
  LowerFunction lower;
};

// linear, lora, attention and logits are in program/patterns.cpp.
const Kind kinds[] = {
    {"embed", lowerEmbed},   {"mask-embed", lowerMaskEmbed},
    {"enter", lowerEnter},   {"join", lowerJoin},
    {"rmsnorm", lowerNorm},  {"rope", lowerRope},
    {"swiglu", lowerSwiglu}, {"silu", lowerSilu},
    {"add", lowerAdd},       {"concat", lowerConcat},
    {"gather", lowerGather},
};

}  // namespace

LowerFunction lowerFunction(const std::string& kind) {
  for (const Kind& k : kinds)
    if (kind == k.name) return k.lower;
  return nullptr;
}

}  // namespace idlm

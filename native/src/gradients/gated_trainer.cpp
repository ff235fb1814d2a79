#include "gradients/gated_trainer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "gradients/order.h"

namespace idlm {

namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument(what); }

constexpr int CLEAN_ROWS = 64;  // most clean rows of a chunk
constexpr int BLOCK_ROWS = 64;  // most MASK rows of a block, so that its activations fit into the cache
constexpr int LOGIT_ROWS = 16;  // rows whose logits are in memory at a time

constexpr float LEAST = -std::numeric_limits<float>::infinity();

}  // namespace

// MASK rows of the batch in order.
struct GatedTrainer::Run {
  int sequence, anchor, length, firstRow;
};

struct GatedTrainer::Rows {
  std::vector<Run> runs;
  std::vector<CleanSequence*> sequences;  // of the batch
  int n = 0;
};

struct GatedTrainer::Thread {
  BlockMemory block;
  std::vector<float> logits, p, q, slopes, hidden;
  QuantisedRows rows;
};

GatedTrainer::GatedTrainer(const ProgramSource& source, std::shared_ptr<Pool> pool, const KernelTable* kernels,
                           const Options& options)
    : ParameterTrainer(source, false, options.isExact, std::move(pool), kernels),
      clean_(program_.attention, program_.entryLayer, program_.nLayers - program_.entryLayer, options.cacheBytes) {
  for (int i = 0; i < pool_->threads(); i++) threads_.push_back(std::make_unique<Thread>());
}

GatedTrainer::~GatedTrainer() = default;

int GatedTrainer::draftIndex(int token) const {
  const std::vector<int32_t>& inverse = program_.weights.base().inverse;
  int at = inverse.empty() ? token : inverse[size_t(token)];
  return at < program_.draftSize ? at : -1;
}

// Checks what memory safety depends on; TypeScript has checked the rest.
void GatedTrainer::check(const GatedBatchInput& batch) const {
  constexpr int MOST = 1 << 20;
  if (batch.nMasks < 1 || batch.nMasks > MOST || batch.depthWeights.size() < size_t(batch.nMasks))
    fail("a run's length or its weights are out of range");
  for (const GatedSequenceInput& s : batch.sequences) {
    if (s.tokens.size() > size_t(MOST)) fail("a sequence is too long");
    for (int32_t token : s.tokens)
      if (token < 0 || token >= program_.vocab) fail("a token is not in the vocabulary");
    for (int32_t anchor : s.anchors)
      if (anchor < 0 || anchor > int(s.tokens.size()) - 2) fail("an anchor is out of range");
  }
}

GatedStepResult GatedTrainer::step(const GatedBatchInput& batch, const std::vector<float*>& gradients) {
  check(batch);
  if (batch.wantsGradients && gradients.size() != trainable_.size()) fail("gradients of other parameters");
  Rows rows;
  for (size_t s = 0; s < batch.sequences.size(); s++) {
    const GatedSequenceInput& sequence = batch.sequences[s];
    for (int32_t anchor : sequence.anchors) {
      int length = std::min(batch.nMasks, int(sequence.tokens.size()) - 1 - anchor);
      rows.runs.push_back({int(s), anchor, length, rows.n});
      rows.n += length;
    }
  }
  if (rows.n == 0) fail("there are no anchors");
  std::vector<std::pair<int64_t, std::vector<int32_t>>> keyed;
  for (const GatedSequenceInput& s : batch.sequences) keyed.push_back({s.key, s.tokens});
  int pagesPerRun = (batch.nMasks + PAGE - 1) / PAGE, runsPerBlock = std::max(BLOCK_ROWS, batch.nMasks);
  clean_.begin(keyed, pool_->threads() * runsPerBlock * pagesPerRun,
               size_t(rows.n) * size_t(program_.paddedDraft()) * 4);
  for (const GatedSequenceInput& s : batch.sequences) {
    rows.sequences.push_back(&clean_.at(s.key));
    if (rows.sequences.back()->tokens != s.tokens) fail("one key has two sequences");
  }
  computeClean(batch);
  computeTargets(rows);
  GatedStepResult result;
  result.rowLosses.resize(size_t(rows.n)), result.overlap.resize(size_t(rows.n));
  result.targetRank.resize(size_t(rows.n)), result.textRank.resize(size_t(rows.n));
  computeBlocks(batch, rows, result);
  double total = 0, sum = 0;
  for (const Run& run : rows.runs) {
    bool isKept = true;
    for (int i = 0; i < run.length; i++) {
      size_t row = size_t(run.firstRow + i);
      float weight = batch.firstMiss && !isKept ? 0.0f : batch.depthWeights[size_t(i)];
      isKept = isKept && result.targetRank[row] == 0;
      total += double(weight);
      if (weight != 0) sum += double(weight) * double(result.rowLosses[row]);
      if (!std::isfinite(result.rowLosses[row]) && result.notFinite < 0) result.notFinite = run.anchor + 1 + i;
    }
  }
  result.loss = sum / total;
  if (batch.wantsGradients && result.notFinite < 0) result.gradientNorm = finish(gradients, float(1 / total));
  return result;
}

void GatedTrainer::computeClean(const GatedBatchInput& batch) {
  struct Chunk {
    CleanSequence* sequence;
    int first, n, firstPage, index;
  };
  std::vector<Chunk> chunks;
  std::vector<CleanSequence*> sequences;
  int nPages = 0;
  size_t stride = size_t((program_.hidden + PANEL - 1) / PANEL * PANEL);
  for (const GatedSequenceInput& s : batch.sequences) {
    CleanSequence& sequence = clean_.at(s.key);
    if (!sequence.isNew || std::find(sequences.begin(), sequences.end(), &sequence) != sequences.end()) continue;
    sequences.push_back(&sequence);
    int n = int(sequence.tokens.size());
    sequence.hidden.resize(size_t(n) * stride);
    if (program_.clean.entry != NONE) sequence.entry.resize(size_t(n) * stride);
    for (int first = 0; first < n; first += CLEAN_ROWS)
      chunks.push_back({&sequence, first, std::min(CLEAN_ROWS, n - first), nPages, first / CLEAN_ROWS});
    nPages += int(sequence.pages.size());
  }
  if (chunks.empty()) return;
  AttentionMemory early;
  if (program_.entryLayer > 0) early = AttentionMemory(program_.attention, 0, program_.entryLayer, nPages, false);
  Progress stored(chunks.size());  // number of layers whose K and V each chunk has stored
  runItems(*pool_, chunks.size(), &stored, [&](size_t i, int thread) {
    const Chunk& c = chunks[i];
    std::vector<BlockRow> rows(size_t(c.n));
    for (int r = 0; r < c.n; r++) {
      rows[size_t(r)].token = c.sequence->tokens[size_t(c.first + r)];
      rows[size_t(r)].position = c.first + r, rows[size_t(r)].sequence = c.sequence;
    }
    BlockRun run;
    run.n = c.n, run.pages = c.sequence->pages;
    for (size_t p = 0; p < run.pages.size(); p++) run.early.push_back(c.firstPage + int(p));
    Block block(program_, program_.clean, clean_.memory(), &early, threads_[size_t(thread)]->block, std::move(rows),
                {std::move(run)});
    block.forward([&](int layer) {
      stored.set(i, layer + 1);
      if (c.index > 0) stored.waitFor(i - 1, layer + 1);
    });
    for (int r = 0; r < c.n; r++) {
      size_t at = size_t(c.first + r) * stride, bytes = size_t(program_.hidden) * 4;
      memcpy(&c.sequence->hidden[at], block.value(program_.clean.hidden, r), bytes);
      if (!c.sequence->entry.empty()) memcpy(&c.sequence->entry[at], block.value(program_.clean.entry, r), bytes);
    }
  });
  for (CleanSequence* sequence : sequences) sequence->isNew = false;
}

// Computes the base's distributions at rows that have none yet.
void GatedTrainer::computeTargets(const Rows& rows) {
  struct Missing {
    const CleanSequence* sequence;
    int row;
    Target* target;
  };
  std::vector<Missing> missing;
  for (const Run& run : rows.runs)
    for (int i = 0; i < run.length; i++) {
      CleanSequence& sequence = *rows.sequences[size_t(run.sequence)];
      int row = run.anchor + 1 + i;
      auto [at, isNew] = sequence.targets.try_emplace(row);
      if (isNew || at->second.logits.empty()) missing.push_back({&sequence, row, &at->second});
    }
  // Rows may be listed twice.
  std::sort(missing.begin(), missing.end(), [](const Missing& a, const Missing& b) { return a.target < b.target; });
  missing.erase(std::unique(missing.begin(), missing.end(),
                            [](const Missing& a, const Missing& b) { return a.target == b.target; }),
                missing.end());
  const BaseWeights& base = program_.weights.base();
  const Matrix output = base.parameters.at(base.output).matrix;
  const KernelTable& k = program_.kernels;
  const size_t hidden = size_t((program_.hidden + PANEL - 1) / PANEL * PANEL), vocab = size_t(output.panels()) * PANEL;
  size_t nItems = (missing.size() + LOGIT_ROWS - 1) / LOGIT_ROWS;
  runItems(*pool_, nItems, nullptr, [&](size_t item, int index) {
    Thread& thread = *threads_[size_t(index)];
    size_t first = item * LOGIT_ROWS, n = std::min(missing.size() - first, size_t(LOGIT_ROWS));
    thread.hidden.resize(hidden * LOGIT_ROWS);
    if (thread.logits.size() < vocab * LOGIT_ROWS) thread.logits.resize(vocab * LOGIT_ROWS);
    if (thread.q.size() < vocab) thread.q.resize(vocab);
    for (size_t r = 0; r < n; r++)
      memcpy(&thread.hidden[r * hidden], &missing[first + r].sequence->hidden[size_t(missing[first + r].row) * hidden],
             size_t(program_.hidden) * 4);
    Product product;
    product.x = thread.hidden.data(), product.xStride = hidden, product.n = int(n);
    product.out = thread.logits.data(), product.outStride = vocab;
    if (isInteger(output.format)) {
      thread.rows.quantise(k, product.x, hidden, program_.hidden, int(n));
      product.quantised = &thread.rows;
    }
    multiply(k, output, product);
    for (size_t r = 0; r < n; r++) {
      const float* logits = thread.logits.data() + r * vocab;
      Target& target = *missing[first + r].target;
      int32_t best = 0;
      // If it is not finite, the row's loss reports it.
      bool isFinite = k.argmax(logits, program_.vocab, base.order.empty() ? nullptr : base.order.data(), &best);
      int at = base.inverse.empty() ? best : base.inverse[size_t(best)];
      target.largest = isFinite ? logits[at] : std::numeric_limits<float>::quiet_NaN();
      target.sum = k.exponentials(logits, program_.vocab, target.largest, thread.q.data());
      target.best = draftIndex(best);
      target.logits.assign(logits, logits + program_.draftSize);
      target.logits.resize(size_t(program_.paddedDraft()), LEAST);
    }
  });
}

void GatedTrainer::computeBlocks(const GatedBatchInput& batch, const Rows& rows, GatedStepResult& result) {
  // Blocks of whole runs, of about equal size and at least one for each thread.
  int nThreads = pool_->threads();
  int most = std::clamp((rows.n + nThreads - 1) / nThreads, batch.nMasks, std::max(BLOCK_ROWS, batch.nMasks));
  std::vector<size_t> blocks{0};
  for (size_t i = 0; i < rows.runs.size(); i++) {
    const Run& run = rows.runs[i];
    if (run.firstRow + run.length - rows.runs[blocks.back()].firstRow > most) blocks.push_back(i);
  }
  blocks.push_back(rows.runs.size());
  const Plan& plan = batch.wantsGradients ? program_.gradient : program_.loss;
  if (batch.wantsGradients) clearGradients();
  int pagesPerRun = (batch.nMasks + PAGE - 1) / PAGE, runsPerThread = std::max(BLOCK_ROWS, batch.nMasks);
  Progress turns(plan.nodes.size());
  runItems(*pool_, blocks.size() - 1, &turns, [&](size_t i, int thread) {
    std::vector<BlockRow> blockRows;
    std::vector<BlockRun> runs;
    for (size_t j = blocks[i]; j < blocks[i + 1]; j++) {
      const Run& run = rows.runs[j];
      const CleanSequence& sequence = *rows.sequences[size_t(run.sequence)];
      BlockRun own;
      own.first = int(blockRows.size()), own.n = run.length, own.length = run.anchor + 1;
      own.pages.assign(sequence.pages.begin(), sequence.pages.begin() + (run.anchor + PAGE) / PAGE);
      int page = clean_.firstExtraPage() + (thread * runsPerThread + int(runs.size())) * pagesPerRun;
      for (int p = 0; p < pagesPerRun; p++) own.pages.push_back(page + p);
      for (int r = 0; r < run.length; r++) {
        int position = run.anchor + 1 + r;
        blockRows.push_back({sequence.tokens[size_t(position)], position, r + 1, run.anchor, &sequence});
      }
      runs.push_back(std::move(own));
    }
    Block block(program_, plan, clean_.memory(), nullptr, threads_[size_t(thread)]->block, std::move(blockRows),
                std::move(runs));
    block.forward([](int) {});
    lossOf(block, batch, rows.runs[blocks[i]].firstRow, *threads_[size_t(thread)], result);
    if (!batch.wantsGradients) return;
    block.backward(gradients_, [&](size_t node, const std::function<void()>& add) {
      turns.waitFor(node, int(i));
      add();
      turns.set(node, int(i) + 1);
    });
  });
}

// Logits, losses, and the gradients of the logits' inputs.
void GatedTrainer::lossOf(Block& block, const GatedBatchInput& batch, int firstRow, Thread& thread,
                          GatedStepResult& result) {
  const KernelTable& k = program_.kernels;
  const Plan& plan = batch.wantsGradients ? program_.gradient : program_.loss;
  const Node& node = plan.nodes.back();
  const Matrix draft = program_.weights.draft().matrix;
  const int padded = program_.paddedDraft(), slopeWidth = node.slopeWidth;
  const size_t stride = size_t(padded);
  if (thread.logits.size() < stride * LOGIT_ROWS) thread.logits.resize(stride * LOGIT_ROWS);
  for (std::vector<float>* v : {&thread.p, &thread.q})
    if (v->size() < stride) v->resize(stride);
  if (batch.wantsGradients) thread.slopes.assign(size_t(slopeWidth) * LOGIT_ROWS, 0.0f);
  const TransposedNode& transposed = program_.transposed->node(program_.gradient.nodes.size() - 1);
  bool isKept = true;
  for (int first = 0; first < block.nRows(); first += LOGIT_ROWS) {
    int n = std::min(LOGIT_ROWS, block.nRows() - first);
    Product product;
    product.x = block.value(node.x, first), product.xStride = size_t(block.valueStride(node.x)), product.n = n;
    product.out = thread.logits.data(), product.outStride = stride;
    if (isInteger(draft.format)) {
      thread.rows.quantise(k, product.x, product.xStride, plan.widths[size_t(node.x)], n);
      product.quantised = &thread.rows;
    }
    multiply(k, draft, product, padded / PANEL);
    for (int r = 0; r < n; r++) {
      const BlockRow& row = block.row(first + r);
      const size_t at = size_t(firstRow + first + r);
      const Target& target = row.sequence->targets.at(row.position);
      float* logits = thread.logits.data() + size_t(r) * stride;
      std::fill(logits + program_.draftSize, logits + padded, LEAST);
      auto rank = [&](int index) {
        return index < 0 ? program_.draftSize : k.rankOf(logits, program_.draftSize, index);
      };
      result.targetRank[at] = rank(target.best);
      size_t next = size_t(row.position) + 1;
      const std::vector<int32_t>& tokens = row.sequence->tokens;
      result.textRank[at] = rank(next < tokens.size() ? draftIndex(tokens[next]) : -1);
      if (row.depth == 1) isKept = true;
      RowLossArgs a;
      a.logits = logits, a.target = target.logits.data(), a.n = padded;
      a.targetLargest = target.largest, a.targetSum = target.sum;
      a.kl = batch.kl, a.tv = batch.tv, a.logOverlap = batch.logOverlap;
      a.weight = batch.firstMiss && !isKept ? 0.0f : batch.depthWeights[size_t(row.depth) - 1];
      isKept = isKept && result.targetRank[at] == 0;
      a.p = thread.p.data(), a.q = thread.q.data();
      if (batch.wantsGradients) a.gradient = thread.slopes.data() + size_t(r) * size_t(slopeWidth);
      RowLossResult loss;
      k.rowLoss(a, loss);
      result.rowLosses[at] = loss.loss, result.overlap[at] = loss.overlap;
    }
    if (!batch.wantsGradients || !node.xGets) continue;
    product.x = thread.slopes.data(), product.xStride = size_t(slopeWidth);
    if (isInteger(transposed.base.format)) thread.rows.quantise(k, product.x, product.xStride, slopeWidth, n);
    product.quantised = &thread.rows;
    product.out = block.slope(node.x, first), product.outStride = size_t(block.slopeStride(node.x));
    multiply(k, transposed.base, product);
  }
}

}  // namespace idlm

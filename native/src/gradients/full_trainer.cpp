#include "gradients/full_trainer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "gradients/order.h"

namespace idlm {

namespace {

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument(what); }

constexpr int LOGIT_ROWS = 32;  // rows whose logits are computed together

int padded(int n, int to) { return (n + to - 1) / to * to; }

// The sequence's runs: the chain of clean rows, and MASK runs.
std::vector<BlockRun> runsOf(const FullSequenceInput& s) {
  const int n = int(s.tokens.size());
  std::vector<BlockRun> runs(1);
  runs[0].n = s.nClean;
  for (int page = 0; page * PAGE < s.nClean; page++) runs[0].pages.push_back(page);
  int nPages = int(runs[0].pages.size());
  for (int r = s.nClean; r < n;) {
    BlockRun run;
    run.first = r, run.length = s.parents[size_t(r)] + 1;
    for (r++; r < n && s.parents[size_t(r)] == r - 1; r++) {
    }
    run.n = r - run.first;
    run.pages.assign(runs[0].pages.begin(), runs[0].pages.begin() + (run.length + PAGE - 1) / PAGE);
    for (int page = 0; page * PAGE < run.n; page++) run.pages.push_back(nPages++);
    runs.push_back(std::move(run));
  }
  return runs;
}

}  // namespace

struct FullTrainer::Thread {
  BlockMemory block;
  AttentionMemory attention;
  std::vector<float> hidden, logits, slopes;
};

FullTrainer::FullTrainer(const ProgramSource& source, std::shared_ptr<Pool> pool, const KernelTable* kernels)
    : ParameterTrainer(source, true, true, std::move(pool), kernels) {
  const std::vector<Node>& nodes = program_.gradient.nodes;
  if (nodes.empty() || nodes.back().kind != NodeKind::Logits || !nodes.back().xGets || !nodes.back().trainsParameter)
    fail("the program does not end with trained logits");
  output_ = nodes.back().parameter;
  for (const Node& n : nodes) {
    if (n.window > 0) fail("a sliding window has no native gradient");
    if (n.kind == NodeKind::Embed && n.parameter == output_) {
      tiedOutput_ = gradients_.of[size_t(output_)];
    }
  }
  for (int i = 0; i < pool_->threads(); i++) threads_.push_back(std::make_unique<Thread>());
}

FullTrainer::~FullTrainer() = default;

// Checks what memory safety depends on; TypeScript has checked the rest.
void FullTrainer::check(const FullBatchInput& batch) const {
  constexpr size_t MOST = 1 << 20;
  for (const FullSequenceInput& s : batch.sequences) {
    size_t n = s.tokens.size();
    if (n > MOST || s.positions.size() != n || s.parents.size() != n || s.nClean < 1 || size_t(s.nClean) > n)
      fail("a sequence's rows are out of range");
    for (size_t r = 0; r < n; r++) {
      bool isClean = int(r) < s.nClean;
      int parent = s.parents[r];
      bool follows = parent == int(r) - 1, hangs = parent >= -1 && parent < s.nClean;
      if (s.tokens[r] < 0 || s.tokens[r] >= program_.vocab) fail("a token is not in the vocabulary");
      if (isClean ? !follows : !follows && !hangs) fail("a row's parent is out of range");
      if (s.positions[r] != (parent < 0 ? 0 : s.positions[size_t(parent)] + 1))
        fail("a row's position is out of range");
    }
    if (s.targets.size() != s.targetRows.size() || s.nNoisy < 0 || size_t(s.nNoisy) > s.targets.size())
      fail("a sequence's targets differ in number");
    for (size_t i = 0; i < s.targets.size(); i++)
      if (s.targetRows[i] < 0 || size_t(s.targetRows[i]) >= n || s.targets[i] < 0 || s.targets[i] >= program_.vocab)
        fail("a target is out of range");
  }
}

FullStepResult FullTrainer::step(const FullBatchInput& batch, const std::vector<float*>& gradients) {
  check(batch);
  if (batch.wantsGradients && gradients.size() != trainable_.size()) fail("gradients of other parameters");
  FullStepResult result;
  float alpha = batch.alpha;
  if (batch.isAuto) {
    // The factor depends on the losses of all sequences, and the gradients on the factor.
    compute(batch, 0, false, result);
    alpha = float(result.noisyLoss / result.cleanLoss);
  }
  if (!batch.isAuto || batch.wantsGradients) compute(batch, alpha, batch.wantsGradients, result);
  result.loss = result.noisyLoss + double(alpha) * result.cleanLoss;
  if (!batch.wantsGradients || result.notFinite >= 0) return result;
  if (tiedOutput_.exists()) {
    GradientBuffers::Buffer& to = gradients_.of[size_t(output_)];
    for (int r = 0; r < to.rows; r++)
      program_.kernels.add(&to.values[size_t(r) * size_t(to.stride)],
                           &tiedOutput_.values[size_t(r) * size_t(to.stride)], to.cols);
  }
  result.gradientNorm = finish(gradients, 1);
  return result;
}

void FullTrainer::compute(const FullBatchInput& batch, float alpha, bool wantsGradients, FullStepResult& result) {
  size_t nNoisy = 0, nTargets = 0;
  std::vector<size_t> first;
  for (const FullSequenceInput& s : batch.sequences) {
    first.push_back(nTargets);
    nNoisy += size_t(s.nNoisy), nTargets += s.targets.size();
  }
  const size_t nCleanTargets = nTargets - nNoisy;
  if (nCleanTargets == 0) fail("there are no targets");
  const float noisyWeight = nNoisy > 0 ? 1.0f / float(nNoisy) : 0.0f, cleanWeight = alpha / float(nCleanTargets);
  result.rowLosses.resize(nTargets), result.ranks.resize(nTargets);
  if (wantsGradients) {
    clearGradients();
    std::fill(tiedOutput_.values.begin(), tiedOutput_.values.end(), 0.0f);
  }
  const Plan& plan = program_.gradient;
  Progress turns(plan.nodes.size());
  runItems(*pool_, batch.sequences.size(), &turns, [&](size_t i, int index) {
    const FullSequenceInput& s = batch.sequences[i];
    Thread& thread = *threads_[size_t(index)];
    std::vector<BlockRun> runs = runsOf(s);
    int nPages = 0;
    for (const BlockRun& run : runs) nPages = std::max(nPages, run.pages.back() + 1);
    if (thread.attention.nPages() < nPages)
      thread.attention = AttentionMemory(program_.attention, 0, program_.nLayers, nPages, false);
    std::vector<BlockRow> rows(s.tokens.size());
    for (size_t r = 0; r < rows.size(); r++) rows[r].token = s.tokens[r], rows[r].position = s.positions[r];
    Block block(program_, plan, thread.attention, nullptr, thread.block, std::move(rows), std::move(runs));
    block.forward([](int) {});
    const InOrder inOrder = [&](size_t node, const std::function<void()>& add) {
      turns.waitFor(node, int(i));
      add();
      turns.set(node, int(i) + 1);
    };
    lossOf(block, s, first[i], noisyWeight, cleanWeight, wantsGradients, inOrder, thread, result);
    if (wantsGradients) block.backward(gradients_, inOrder);
  });
  double noisy = 0, clean = 0;
  for (size_t i = 0; i < batch.sequences.size(); i++) {
    const FullSequenceInput& s = batch.sequences[i];
    for (size_t t = 0; t < s.targets.size(); t++) {
      float loss = result.rowLosses[first[i] + t];
      (int(t) < s.nNoisy ? noisy : clean) += double(loss);
      if (!std::isfinite(loss) && result.notFinite < 0) result.notFinite = s.positions[size_t(s.targetRows[t])];
    }
  }
  result.noisyLoss = nNoisy > 0 ? noisy / double(nNoisy) : 0, result.cleanLoss = clean / double(nCleanTargets);
}

void FullTrainer::lossOf(Block& block, const FullSequenceInput& s, size_t firstTarget, float noisyWeight,
                         float cleanWeight, bool wantsGradients, const InOrder& inOrder, Thread& thread,
                         FullStepResult& result) {
  const KernelTable& k = program_.kernels;
  const size_t index = program_.gradient.nodes.size() - 1;
  const Node& node = program_.gradient.nodes[index];
  const Matrix output = program_.weights.matrix(output_);
  const int hidden = program_.hidden, width = node.slopeWidth, nTargets = int(s.targets.size());
  const size_t hiddenStride = size_t(padded(hidden, PANEL));
  // Rows may be wider than the product's panels; their gradients are read in whole groups.
  thread.hidden.resize(hiddenStride * size_t(nTargets)), thread.slopes.resize(hiddenStride * LOGIT_ROWS);
  thread.logits.resize(size_t(width) * size_t(wantsGradients ? nTargets : LOGIT_ROWS));
  for (int t = 0; t < nTargets; t++)
    memcpy(&thread.hidden[size_t(t) * hiddenStride], block.value(node.x, s.targetRows[size_t(t)]), size_t(hidden) * 4);
  for (int r = 0; wantsGradients && r < block.nRows(); r++) memset(block.slope(node.x, r), 0, size_t(hidden) * 4);
  for (int first = 0; first < nTargets; first += LOGIT_ROWS) {
    int n = std::min(LOGIT_ROWS, nTargets - first);
    float* logits = thread.logits.data() + (wantsGradients ? size_t(first) * size_t(width) : 0);
    Product product;
    product.x = &thread.hidden[size_t(first) * hiddenStride], product.xStride = hiddenStride, product.n = n;
    product.out = logits, product.outStride = size_t(width);
    multiply(k, output, product);
    for (int r = 0; r < n; r++) {
      size_t t = size_t(first + r);
      float* row = logits + size_t(r) * size_t(width);
      std::fill(row + program_.vocab, row + width, -std::numeric_limits<float>::infinity());
      result.ranks[firstTarget + t] = k.rankOf(row, program_.vocab, s.targets[t]);
      result.rowLosses[firstTarget + t] =
          k.crossEntropy(row, width, s.targets[t], int(t) < s.nNoisy ? noisyWeight : cleanWeight, wantsGradients);
    }
    if (!wantsGradients) continue;
    product.x = logits, product.xStride = size_t(width);
    product.out = thread.slopes.data(), product.outStride = hiddenStride;
    multiply(k, program_.transposed->node(index).base, product);
    for (int r = 0; r < n; r++)
      k.add(block.slope(node.x, s.targetRows[size_t(first + r)]), &thread.slopes[size_t(r) * hiddenStride], hidden);
  }
  if (!wantsGradients) return;
  inOrder(index, [&] {
    GradientBuffers::Buffer& to = tiedOutput_.exists() ? tiedOutput_ : gradients_.of[size_t(output_)];
    OuterArgs a;
    a.y = thread.logits.data(), a.yStride = size_t(width), a.nY = program_.vocab;
    a.x = thread.hidden.data(), a.xStride = hiddenStride, a.nX = hidden, a.nRows = nTargets;
    a.out = to.values.data(), a.outStride = size_t(to.stride);
    k.outer(a);
  });
}

}  // namespace idlm

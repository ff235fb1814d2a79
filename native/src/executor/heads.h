// Proposals from the output rows of a forward: MASK rows, re-ranked by the sampler head, extra heads, or token rows.
// The requests of a call are answered together on all threads of the pool, with one matrix product for the rows of all.
// A row's bits do not depend on the other rows.
#pragma once
#include <atomic>
#include <vector>

#include "executor/pool.h"
#include "kernels/table.h"
#include "program/lowered.h"
#include "sampling/requests.h"

namespace idlm {

// Hidden states and logits of the last forward, by output; token rows come first.
struct OutputRows {
  const float* hidden = nullptr;
  size_t hiddenStride = 0;
  const float* logits = nullptr;  // in the order of the output matrix
  size_t logitsStride = 0;
  float* maxima = nullptr;  // of MASK rows, by output - nTokens: the largest logit of each panel
  size_t maximaStride = 0;
  int n = 0, nTokens = 0;
  const int32_t* outputOf = nullptr;  // output of each forest row; -1: none
  int nRows = 0;

  int find(int row) const { return row >= 0 && row < nRows ? outputOf[row] : -1; }
};

class Heads {
 public:
  Heads(const LoweredProgram& program, const KernelTable* kernels, int threads);
  // A new forward invalidates the logits of extra heads.
  void forget() { headRows_.clear(), headRowOf_.clear(); }

  // Answers requests; throws std::invalid_argument for one that does not fit the rows.
  void propose(Pool& pool, const OutputRows& rows, std::vector<ProposalInput> requests, std::vector<Proposed>& out);

  // The same as part of a job on all threads of the pool: `begin` on one thread, a barrier, `run` on all.
  void begin(const OutputRows& rows, std::vector<ProposalInput> requests, std::vector<Proposed>& out);
  void run(int thread, Barrier& barrier);

  // Logits that a request is decided by, [draft vocabulary] in its order or [vocab] by token; on the calling thread.
  void draftLogits(const OutputRows& rows, const ProposalSource& source, float* out);
  int draftLength(ProposalKind kind) const { return kind == ProposalKind::Token ? program_.vocab : draft_.size; }
  int nExtra() const { return int(extra_.size()); }

 private:
  // State of one request.
  struct Work {
    int output = 0;
    int samplerRow = -1;             // row in the sampler head's products; -1: none
    int headRow = -1;                // for an extra head: index into headRows_
    std::vector<int32_t> shortlist;  // rows of the output matrix, ascending
    std::vector<float> logits;       // of the shortlist
    std::vector<int32_t> panels;     // that contain the shortlist, ascending
    std::vector<int32_t> entries;    // rows of panelLogits_, one per panel
  };
  // An extra head of a row. Its logits are kept until the next forward, since a tree requests them once for each path.
  struct HeadRow {
    int output, head;
  };
  struct Scratch {
    std::vector<float> scores, maxima, blockMaxima, noisy;
    std::vector<int32_t> noisyIndices;
    SamplerScratch sampler;
  };
  // Rows of a matrix product, as floats and quantised for integer products.
  struct Activations {
    std::vector<float> floats;
    std::vector<uint8_t> quantised;
    size_t stride = 0, quantisedStride = 0;  // per row: floats, bytes
    int cols = 0;
    void resize(int rows, int columns);
    float* row(int r) { return floats.data() + size_t(r) * stride; }
  };

  template <class Fn>
  void items(int phase, int n, Fn fn);
  void plan();
  // Prepares a row for products with `reader`.
  void quantiseFor(const Matrix& reader, Activations& x, int row) const;
  void product(const Matrix& m, const Activations& x, int firstRow, int nRows, float* out, size_t outStride, int begin,
               int end) const;
  const float* hiddenOf(int output) const { return rows_.hidden + size_t(output) * rows_.hiddenStride; }
  // Logits that the shortlist is chosen by.
  const float* ownLogits(const Work& work) const {
    return work.headRow >= 0 ? headLogits(work.headRow) : rows_.logits + size_t(work.output) * rows_.logitsStride;
  }
  float* headLogits(int headRow) { return headLogits_.data() + size_t(headRow) * headStride_; }
  const float* headLogits(int headRow) const { return headLogits_.data() + size_t(headRow) * headStride_; }
  const ExtraHead& headOf(const HeadRow& at) const { return extra_[size_t(at.head)]; }
  const HeadRow& newHeadRow(int i) const { return headRows_[size_t(firstNew_ + i)]; }
  // Index into headRows_; -1: not computed.
  int& headRowOf(int output, int head) { return headRowOf_[size_t(output) * extra_.size() + size_t(head)]; }
  void addHeadRow(int output, int head);
  void groupByHead();
  void reserveHeadRows();
  void joinSampler(int row, int output, int previous, Scratch& s);
  void activateSampler(int row);
  void endSampler(int row, int output);
  // `row` of extraHidden_ and extraAfter_.
  void beginHead(int row, const HeadRow& at);
  void headProduct(const ExtraHead& head, int firstRow, int n, int begin, int end);
  void endHead(int row, const HeadRow& at);
  void check(const ProposalSource& source, int output) const;
  void makeShortlist(const ProposalInput& request, Work& work, Scratch& s);
  void noisyShortlist(int n, const int32_t* tokens, NoiseKey key, int count, Work& work, Scratch& s) const;
  void planPanels();
  void panelProduct(int index);
  void answer(const ProposalInput& request, Work& work, Scratch& s, Proposed& out);
  bool hasSampler() const { return sampler_.first.data != nullptr; }
  // Tokens of the logits that a request is decided by; null: logit i is token i's.
  const int32_t* tokensOf(ProposalKind kind) const;

  const LoweredProgram& program_;
  const DraftOutput& draft_;
  const SamplerHead& sampler_;
  const std::vector<ExtraHead>& extra_;
  const KernelTable* kernels_;
  OutputRows rows_;
  std::vector<ProposalInput> requests_;
  std::vector<Proposed>* out_ = nullptr;
  std::vector<Work> work_;
  std::vector<HeadRow> headRows_;
  std::vector<int> headRowOf_;     // [output][head]; empty: none computed
  std::vector<float> headLogits_;  // [head row][headStride_]
  size_t headStride_ = 0;
  int firstNew_ = 0;                             // start of the headRows_ that this call computes, sorted by head
  std::vector<int32_t> groups_;                  // start of each head in headRows_, and the end
  int nSamplerRows_ = 0;                         // of the sampler head's products
  std::vector<int32_t> samplerOutputs_;          // outputs of the sampler head's rows
  Activations joined_, inner_, after_;           // of the sampler head
  Activations extraHidden_, extraAfter_;         // of the extra heads' new rows
  std::vector<int32_t> panelList_, panelFirst_;  // needed panels, and the first entry of each
  std::vector<int32_t> panelRows_;               // row in the sampler head's products of each entry
  std::vector<float> panelLogits_;               // [entry][PANEL]
  std::vector<Scratch> scratch_;
  static constexpr int PHASES = 7;
  struct alignas(64) Counter {
    std::atomic<int> next{0};
  };
  Counter counters_[PHASES];
};

}  // namespace idlm

// The sampler head: h' = h + w2 silu(w1 [h; e]), e the normalised embedding of the token before the predicted one. It
// runs between forwards, when that token is known, on the calling thread: about a million products.
#include <cstring>
#include <stdexcept>

#include "model.h"

namespace idlm {

namespace {

int padded(int n) { return (n + PANEL - 1) / PANEL * PANEL; }

}  // namespace

// out = matrix · x for all panels or a list of them (out[16 i] for panel i of the list).
void Model::product(const Matrix& m, const float* x, float* out, const int32_t* panels, int nPanels) {
  std::vector<uint8_t>& block = headBlock_;
  bool integer = isInteger(m.format);
  if (integer) {
    block.resize(Quantised::stride(m.cols));
    kernels_->quantise(x, m.cols, block.data());
  }
  LinearPart part;
  part.weight = m;
  LinearArgs a;
  a.parts = &part, a.nParts = 1, a.nRows = 1;
  a.x = integer ? block.data() : reinterpret_cast<const uint8_t*>(x);
  if (!panels) {
    part.out = out;
    kernels_->linear(a, 0, m.panels());
    return;
  }
  for (int i = 0; i < nPanels; i++) {
    part.out = out + i * PANEL - size_t(panels[i]) * PANEL;
    kernels_->linear(a, panels[i], panels[i] + 1);
  }
}

// The MASK row's hidden state after the head, [hidden] padded.
const float* Model::afterHead(int row, int previous) {
  int w = wantedIndex(row);
  if (w == NONE || !isMask(row)) throw std::invalid_argument("row " + std::to_string(row) + " is no wanted MASK row");
  if (previous < 0 || previous >= vocab_) throw std::invalid_argument("token " + std::to_string(previous) + " is not in the vocabulary");
  const float* h = buffer(logitsX_) + size_t(w) * size_t(widths_[size_t(logitsX_)]);
  if (!head_) return h;
  size_t n = size_t(padded(hidden_));
  headScratch_.resize(size_t(padded(2 * hidden_)) + 3 * n);
  float *joined = headScratch_.data(), *e = joined + padded(2 * hidden_), *inner = e + n, *out = inner + n;
  unpackRow(embedding_, embeddingIsOutput_ && !inverse_.empty() ? inverse_[size_t(previous)] : previous, e);
  kernels_->rmsnorm(e, nullptr, hidden_, epsilon_, e);
  memcpy(joined, h, size_t(hidden_) * 4);
  memcpy(joined + hidden_, e, size_t(hidden_) * 4);
  product(w1_, joined, inner, nullptr, 0);
  kernels_->silu(inner, int(n));
  product(w2_, inner, out, nullptr, 0);
  kernels_->add(out, h, hidden_);
  return out;
}

void Model::logitsAfterHead(int row, int previous, float* out) {
  const float* h = afterHead(row, previous);
  int n = logitsLength(row);
  headLogits_.resize(size_t(output_.panels()) * PANEL);
  int panels = draftSize_ > 0 ? (draftSize_ + PANEL - 1) / PANEL : output_.panels();
  Matrix draft = output_;
  draft.rows = draftSize_ > 0 ? panels * PANEL : vocab_;
  product(draft, h, headLogits_.data(), nullptr, 0);
  memcpy(out, headLogits_.data(), size_t(n) * 4);
}

}  // namespace idlm

// The sampler head: h' = h + w2 silu(w1 [h; e]), e the normalised embedding of the token before the predicted one. It
// runs between forwards, when that token is known, on the calling thread: about a million products.
#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "program/model.h"

namespace idlm {

namespace {

int padded(int n) { return (n + PANEL - 1) / PANEL * PANEL; }

// Of these indices, ascending, the `count` whose x is largest, the lowest index on a tie.
void keepLargest(const float* x, int count, std::vector<int32_t>& indices) {
  if (indices.size() <= size_t(count)) return;
  std::nth_element(indices.begin(), indices.begin() + (count - 1), indices.end(),
                   [&](int32_t a, int32_t b) { return x[a] != x[b] ? x[a] > x[b] : a < b; });
  indices.resize(size_t(count));
  std::sort(indices.begin(), indices.end());
}

// Indices, ascending, of the `count` largest of x [n], the lowest index on a tie; what is not a number is left out.
// `maxima`: the largest of each `width` of x. The count-th of those of whole blocks is reached by `count` elements, so
// no more has to be looked at.
void largest(const float* x, int n, const float* maxima, int width, int count, std::vector<float>& blocks,
             std::vector<int32_t>& out) {
  constexpr float LEAST = -std::numeric_limits<float>::infinity();
  int parts = (n + width - 1) / width, each = BLOCK / width;
  blocks.assign(size_t((parts + each - 1) / each), LEAST);
  for (int p = 0; p < parts; p++) {
    float& most = blocks[size_t(p / each)];
    most = maxima[p] > most ? maxima[p] : most;
  }
  float threshold = nthLargest(blocks, size_t(count));
  out.clear();
  for (int p = 0; p < parts; p++) {
    if (maxima[p] < threshold) continue;
    for (int i = p * width; i < std::min(n, (p + 1) * width); i++)
      if (x[i] >= threshold) out.push_back(i);
  }
  keepLargest(x, count, out);
}

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
    part.out = out + i * PANEL;
    part.weight.data = m.data + size_t(panels[i]) * m.stride;
    kernels_->linear(a, 0, 1);
  }
}

// The MASK row's hidden state after the head, [hidden] padded.
const float* Model::afterHead(int row, int previous) {
  int w = wantedIndex(row);
  if (w == NONE || !isMask(row)) throw std::invalid_argument("row " + std::to_string(row) + " is no wanted MASK row");
  if (previous < 0 || previous >= vocab_)
    throw std::invalid_argument("token " + std::to_string(previous) + " is not in the vocabulary");
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

// The rows of the output matrix that proposals look at: whole panels.
Matrix Model::draftOutput() const {
  Matrix draft = output_;
  if (draftSize_ > 0) draft.rows = padded(draftSize_);
  return draft;
}

void Model::logitsAfterHead(int row, int previous, float* out) {
  const float* h = afterHead(row, previous);
  int n = logitsLength(row);
  headLogits_.resize(size_t(output_.panels()) * PANEL);
  product(draftOutput(), h, headLogits_.data(), nullptr, 0);
  memcpy(out, headLogits_.data(), size_t(n) * 4);
}

// Logits of an extra head of a token row, in the order of the output matrix: output (h + silu(weight h + bias)). They
// are kept, since a tree asks for them once for each of its paths.
const float* Model::extraHead(int row, int head) {
  int w = wantedIndex(row);
  if (w == NONE || isMask(row)) throw std::invalid_argument("row " + std::to_string(row) + " is no wanted token row");
  if (head < 0 || size_t(head) >= extraHeads_.size())
    throw std::invalid_argument("there is no extra head " + std::to_string(head));
  ExtraHead& extra = extraHeads_[size_t(head)];
  if (extra.row == row) return extra.logits.data();
  const float* h = buffer(logitsX_) + size_t(w) * size_t(widths_[size_t(logitsX_)]);
  headScratch_.resize(size_t(padded(hidden_)));
  float* out = headScratch_.data();
  product(extra.weight, h, out, nullptr, 0);
  kernels_->add(out, extra.bias.data(), hidden_);
  kernels_->silu(out, padded(hidden_));
  kernels_->add(out, h, hidden_);
  extra.logits.resize(size_t(output_.panels()) * PANEL);
  product(draftOutput(), out, extra.logits.data(), nullptr, 0);
  extra.row = row;
  return extra.logits.data();
}

void Model::extraLogits(int row, int head, float* out) {
  memcpy(out, extraHead(row, head), size_t(extraLogitsLength()) * 4);
}

void Model::proposeExtra(const DrawInput& draw, int head, int count, bool forRejection, Proposed& out) {
  const float* own = extraHead(draw.row, head);
  makeShortlist(own, extraLogitsLength(), nullptr, draw, count, forRejection);
  for (size_t i = 0; i < shortlist_.size(); i++) headLogits_[i] = own[shortlist_[i]];
  proposeFromShortlist(draw, count, forRejection, Purpose::ExtraHead, out);
}

// The likeliest by these logits, with the noise of the draw to come where that decides: then these are the likely
// draws. `maxima`: the logits' by panels, where a forward made them.
void Model::makeShortlist(const float* logits, int n, const float* maxima, const DrawInput& draw, int count,
                          bool forRejection) {
  const SamplerSettings& settings = draw.sampler->settings;
  constexpr int SHORTLIST = 64;
  int most = std::min(n, std::max(SHORTLIST, count));
  if (settings.temperature > 0 && !forRejection) {
    headLogits_.assign(logits, logits + n);
    kernels_->divide(headLogits_.data(), n, settings.temperature);
    noisyShortlist(n, noiseKey(settings.seed, draw.position, settings.choice, Purpose::Draw), most);
  } else {
    int width = PANEL;
    if (!maxima) {
      width = BLOCK;
      maxima_.resize(size_t((n + BLOCK - 1) / BLOCK));
      kernels_->blockMaxima(logits, n, maxima_.data());
      maxima = maxima_.data();
    }
    largest(logits, n, maxima, width, most, blockMaxima_, shortlist_);
  }
  headLogits_.resize(shortlist_.size());
}

// The shortlist of headLogits_ [n] with noise: what is largest in the blocks of the largest scores bounds it from
// below.
void Model::noisyShortlist(int n, NoiseKey key, int count) {
  const float* scores = headLogits_.data();
  int blocks = (n + BLOCK - 1) / BLOCK, probed = std::min(blocks, 8 + count / BLOCK);
  maxima_.resize(size_t(blocks));
  kernels_->blockMaxima(scores, n, maxima_.data());
  blockMaxima_ = maxima_;
  float least = nthLargest(blockMaxima_, size_t(probed));
  blockMaxima_.clear();
  for (int b = 0; b < blocks && probed > 0; b++) {
    if (maxima_[size_t(b)] < least) continue;
    probed--;
    int begin = b * BLOCK, m = std::min(BLOCK, n - begin);
    int32_t ids[BLOCK];
    float noisy[BLOCK];
    for (int i = 0; i < m; i++) ids[i] = order_.empty() ? begin + i : order_[size_t(begin + i)];
    kernels_->addGumbel(scores + begin, ids, m, key.word, key.key, noisy);
    for (int i = 0; i < m; i++)
      if (noisy[i] == noisy[i]) blockMaxima_.push_back(noisy[i]);
  }
  least = nthLargest(blockMaxima_, size_t(count));
  if (noisy_.size() < size_t(n)) noisy_.resize(size_t(n)), noisyIndices_.resize(size_t(n));
  int found = kernels_->noisyFrom(scores, order_.empty() ? nullptr : order_.data(), n, key.word, key.key, least,
                                  noisyIndices_.data(), noisy_.data());
  shortlist_.resize(size_t(found));
  for (int32_t i = 0; i < found; i++) shortlist_[size_t(i)] = i;
  keepLargest(noisy_.data(), count, shortlist_);
  for (int32_t& i : shortlist_) i = noisyIndices_[size_t(i)];
}

// headLogits_: the shortlist's.
void Model::proposeFromShortlist(const DrawInput& draw, int count, bool forRejection, Purpose purpose, Proposed& out) {
  if (!order_.empty())
    for (int32_t& i : shortlist_) i = order_[size_t(i)];
  draw.sampler->propose(*kernels_, headLogits_.data(), shortlist_.data(), int(shortlist_.size()), draw.position,
                        draw.extra.data(), int(draw.extra.size()), count, forRejection, purpose, out,
                        samplerScratch_.back());
}

// Proposals of a row. Its own logits make a shortlist; the head re-ranks it, at the price of the shortlist's panels.
void Model::propose(const DrawInput& draw, int previous, int count, bool forRejection, Proposed& out) {
  int n = logitsLength(draw.row);
  const float* own =
      reinterpret_cast<const float*>(logitsMemory_.data()) + size_t(wantedIndex(draw.row)) * logitsStride_;
  const float* maxima = nullptr;
  if (isMask(draw.row)) {
    float* known = logitMaxima_.data() + size_t(wantedIndex(draw.row) - nWantedTokens_) * size_t(output_.panels());
    // What lies behind the vocabulary, or behind the draft vocabulary, in its last panel does not count.
    if (n % PANEL != 0) kernels_->blockMaxima(own + n / PANEL * PANEL, n % PANEL, known + n / PANEL);
    maxima = known;
  }
  makeShortlist(own, n, maxima, draw, count, forRejection);
  if (head_ && isMask(draw.row)) {
    const float* h = afterHead(draw.row, previous);
    shortlistPanels_.clear();
    for (int32_t i : shortlist_)
      if (shortlistPanels_.empty() || shortlistPanels_.back() != i / PANEL) shortlistPanels_.push_back(i / PANEL);
    panelLogits_.resize(shortlistPanels_.size() * PANEL);
    product(output_, h, panelLogits_.data(), shortlistPanels_.data(), int(shortlistPanels_.size()));
    size_t panel = 0;
    for (size_t i = 0; i < shortlist_.size(); i++) {
      while (shortlistPanels_[panel] != shortlist_[i] / PANEL) panel++;
      headLogits_[i] = panelLogits_[panel * PANEL + size_t(shortlist_[i] % PANEL)];
    }
  } else {
    for (size_t i = 0; i < shortlist_.size(); i++) headLogits_[i] = own[shortlist_[i]];
  }
  proposeFromShortlist(draw, count, forRejection, isMask(draw.row) ? Purpose::Proposal : Purpose::Draft, out);
}

}  // namespace idlm

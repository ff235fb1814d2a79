// Shortlists of tokens that a head re-ranks, and the products with the output matrix for them.
#include <algorithm>
#include <limits>

#include "executor/heads.h"

namespace idlm {

namespace {

// Most likely tokens by a row's own logits, which its head re-ranks.
constexpr int SHORTLIST = 64;

// Keeps, of these ascending indices, the `count` with the largest x, the lowest index among equals.
void keepLargest(const float* x, int count, std::vector<int32_t>& indices) {
  if (indices.size() <= size_t(count)) return;
  std::nth_element(indices.begin(), indices.begin() + (count - 1), indices.end(),
                   [&](int32_t a, int32_t b) { return x[a] != x[b] ? x[a] > x[b] : a < b; });
  indices.resize(size_t(count));
  std::sort(indices.begin(), indices.end());
}

// Ascending indices of the `count` largest of x [n], the lowest index among equals, without NaN. `maxima`: the largest
// of each `width` of x; at least `count` elements reach the count-th largest of these, so smaller ones are skipped.
void largest(const float* x, int n, const float* maxima, int width, int count, std::vector<float>& blocks,
             std::vector<int32_t>& out) {
  constexpr float LEAST = -std::numeric_limits<float>::infinity();
  int parts = (n + width - 1) / width, each = BLOCK / width;
  blocks.assign(size_t((parts + each - 1) / each), LEAST);
  for (int p = 0; p < parts; p++) {
    float& maximum = blocks[size_t(p / each)];
    maximum = maxima[p] > maximum ? maxima[p] : maximum;
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

// The most likely tokens by a row's own logits, with the noise of the verifying draw if that decides: these are the
// likely draws.
void Heads::makeShortlist(const ProposalInput& request, Work& work, Scratch& s) {
  const SamplerSettings& settings = request.sampler->settings;
  const float* logits = ownLogits(work);
  int n = draftLength(request.source.kind), count = std::min(n, std::max(SHORTLIST, request.count));
  if (settings.temperature > 0 && !request.forRejection) {
    s.scores.assign(logits, logits + n);
    kernels_->divide(s.scores.data(), n, settings.temperature);
    noisyShortlist(n, tokensOf(request.source.kind),
                   noiseKey(settings.seed, request.position, settings.choice, Purpose::Draw), count, work, s);
  } else if (request.source.kind == ProposalKind::Mask) {
    // The forward has stored the largest logit of each panel.
    const float* maxima = rows_.maxima + size_t(work.output - rows_.nTokens) * rows_.maximaStride;
    largest(logits, n, maxima, PANEL, count, s.blockMaxima, work.shortlist);
  } else {
    s.maxima.resize(size_t((n + BLOCK - 1) / BLOCK));
    kernels_->blockMaxima(logits, n, s.maxima.data());
    largest(logits, n, s.maxima.data(), BLOCK, count, s.blockMaxima, work.shortlist);
  }
  work.panels.clear();
  if (work.samplerRow < 0) return;
  for (int32_t i : work.shortlist)
    if (work.panels.empty() || work.panels.back() != i / PANEL) work.panels.push_back(i / PANEL);
}

// The shortlist of s.scores [n] with noise. The largest noisy scores of the best blocks are a lower bound.
void Heads::noisyShortlist(int n, const int32_t* tokens, NoiseKey key, int count, Work& work, Scratch& s) const {
  const float* scores = s.scores.data();
  int blocks = (n + BLOCK - 1) / BLOCK, probed = std::min(blocks, 8 + count / BLOCK);
  s.maxima.resize(size_t(blocks));
  kernels_->blockMaxima(scores, n, s.maxima.data());
  s.blockMaxima = s.maxima;
  float threshold = nthLargest(s.blockMaxima, size_t(probed));
  s.blockMaxima.clear();
  for (int b = 0; b < blocks && probed > 0; b++) {
    if (s.maxima[size_t(b)] < threshold) continue;
    probed--;
    int begin = b * BLOCK, m = std::min(BLOCK, n - begin);
    int32_t ids[BLOCK];
    float noisy[BLOCK];
    for (int i = 0; i < m; i++) ids[i] = tokens ? tokens[begin + i] : begin + i;
    kernels_->addGumbel(scores + begin, ids, m, key.word, key.key, noisy);
    for (int i = 0; i < m; i++)
      if (noisy[i] == noisy[i]) s.blockMaxima.push_back(noisy[i]);
  }
  threshold = nthLargest(s.blockMaxima, size_t(count));
  if (s.noisy.size() < size_t(n)) s.noisy.resize(size_t(n)), s.noisyIndices.resize(size_t(n));
  int found =
      kernels_->noisyFrom(scores, tokens, n, key.word, key.key, threshold, s.noisyIndices.data(), s.noisy.data());
  work.shortlist.resize(size_t(found));
  for (int32_t i = 0; i < found; i++) work.shortlist[size_t(i)] = i;
  keepLargest(s.noisy.data(), count, work.shortlist);
  for (int32_t& i : work.shortlist) i = s.noisyIndices[size_t(i)];
}

// The panels of all shortlists that the sampler head re-ranks, each with its rows.
void Heads::planPanels() {
  panelFirst_.assign(size_t(draft_.matrix.panels()) + 1, 0);
  size_t nEntries = 0;
  for (size_t i = 0; i < requests_.size(); i++)
    for (int32_t panel : work_[i].panels) panelFirst_[size_t(panel)]++, nEntries++;
  panelList_.clear();
  int32_t at = 0;
  for (size_t panel = 0; panel + 1 < panelFirst_.size(); panel++) {
    int32_t n = panelFirst_[panel];
    if (n > 0) panelList_.push_back(int32_t(panel));
    panelFirst_[panel] = at;
    at += n;
  }
  panelRows_.resize(nEntries);
  if (panelLogits_.size() < nEntries * PANEL) panelLogits_.resize(nEntries * PANEL);
  for (size_t i = 0; i < requests_.size(); i++) {
    Work& work = work_[i];
    work.entries.clear();
    for (int32_t panel : work.panels) {
      int32_t entry = panelFirst_[size_t(panel)]++;
      panelRows_[size_t(entry)] = work.samplerRow;
      work.entries.push_back(entry);
    }
  }
}

// One panel times its rows, several consecutive ones at a time, so that the panel is read from memory once.
void Heads::panelProduct(int index) {
  int32_t panel = panelList_[size_t(index)];
  // After planPanels, panelFirst_ is the end of each panel's entries.
  size_t end = size_t(panelFirst_[size_t(panel)]);
  size_t begin = index == 0 ? 0 : size_t(panelFirst_[size_t(panelList_[size_t(index) - 1])]);
  Matrix one = draft_.matrix;
  one.data += size_t(panel) * one.stride;
  one.rows = PANEL;
  while (begin < end) {
    int32_t row = panelRows_[begin];
    size_t last = begin + 1;
    while (last < end && panelRows_[last] == row + int32_t(last - begin)) last++;
    product(one, after_, row, int(last - begin), panelLogits_.data() + begin * PANEL, PANEL, 0, 1);
    begin = last;
  }
}

}  // namespace idlm

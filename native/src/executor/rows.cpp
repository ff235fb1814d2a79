#include "executor/rows.h"

namespace idlm {

void ForwardRows::assign(std::vector<int32_t>&& numbers, const LoweredProgram& program, int nCachePages, int threads) {
  layout_.assign(std::move(numbers), {program.vocab, nCachePages, program.hasMask, program.entryLayer > 0});
  int n = layout_.nRows();
  nGated_ = nGatedTokens_ = 0;
  gatedIndex_.assign(size_t(n), NONE);
  for (int r = 0; r < n; r++) {
    if (!layout_.row(r).gate) continue;
    gatedIndex_[size_t(r)] = nGated_++;
    nGatedTokens_ += r < layout_.nTokens();
  }
  tilings_.clear();
  for (const HeadCounts& counts : program.headCounts) {
    Tilings tilings{
        counts.heads, counts.kvHeads, tilingOf(layout_.nTokens(), counts.heads, counts.kvHeads, threads), {}};
    tilings.all = layout_.nTokens() == n ? tilings.tokens : tilingOf(n, counts.heads, counts.kvHeads, threads);
    tilings_.push_back(std::move(tilings));
  }
}

Range ForwardRows::range(RowSet rows) const {
  switch (rows) {
    case RowSet::Token:
      return {0, layout_.nTokens()};
    case RowSet::Mask:
      return {layout_.nTokens(), layout_.nRows()};
    case RowSet::Output:
      return {0, layout_.nOutputs()};
    case RowSet::OutputToken:
      return {0, layout_.nTokenOutputs()};
    case RowSet::OutputMask:
      return {layout_.nTokenOutputs(), layout_.nOutputs()};
    case RowSet::Head:
      return {};
    default:
      return {0, layout_.nRows()};
  }
}

const Tiling& ForwardRows::tiling(const Step& step) const {
  size_t i = 0;
  while (tilings_[i].heads != step.heads || tilings_[i].kvHeads != step.kvHeads) i++;
  return step.rows == RowSet::Token ? tilings_[i].tokens : tilings_[i].all;
}

// As many rows per tile as attention supports, unless threads would be idle.
Tiling ForwardRows::tilingOf(int nRows, int heads, int kvHeads, int threads) const {
  std::vector<int> ends(size_t(layout_.nSequences()), 0);
  for (int r = 0; r < nRows; r++) ends[size_t(layout_.row(r).sequence)]++;
  int begin = 0, most = ATTENTION_QUERIES * kvHeads / heads;
  if (most < 1 || (nRows + most - 1) / most * kvHeads < 2 * threads) most = 1;
  Tiling tiling;
  tiling.rows.resize(size_t(nRows));
  for (size_t s = 0; s < ends.size(); s++) {
    int end = begin + ends[s];
    for (int r = begin; r < end; r += most) tiling.tiles.push_back({r, end - r < most ? end - r : most, int(s)});
    ends[s] = begin;
    begin = end;
  }
  for (int r = 0; r < nRows; r++) tiling.rows[size_t(ends[size_t(layout_.row(r).sequence)]++)] = r;
  return tiling;
}

}  // namespace idlm

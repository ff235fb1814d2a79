// The rows of a forward as steps use them: every set of rows is a range, since token rows come first.
#pragma once
#include <vector>

#include "executor/layout.h"
#include "program/lowered.h"

namespace idlm {

struct Range {
  int begin = 0, end = 0;
  int size() const { return end - begin; }
};

// Rows of a sequence share their keys and values; attention computes a tile of them together.
struct Tiling {
  struct Tile {
    int first, n, sequence;
  };
  std::vector<int32_t> rows;  // by sequence
  std::vector<Tile> tiles;
};

class ForwardRows {
 public:
  // Throws std::invalid_argument unless the numbers are a layout.
  void assign(std::vector<int32_t>&& numbers, const LoweredProgram& program, int nCachePages, int threads);

  void clear() { layout_.clear(); }

  const ForestLayout& layout() const { return layout_; }
  const ForestLayout::Row& row(int r) const { return layout_.row(r); }
  Range range(RowSet rows) const;
  // Index of each row among those with gate 1; NONE: gate 0.
  const int32_t* gatedIndex() const { return gatedIndex_.data(); }
  // Indices of the gated rows of a range.
  Range gated(Range rows) const {
    int nTokens = layout_.nTokens();
    return {rows.begin < nTokens ? 0 : nGatedTokens_, rows.end <= nTokens ? nGatedTokens_ : nGated_};
  }
  // Tiles for an attention step.
  const Tiling& tiling(const Step& step) const;

 private:
  // By the number of heads.
  struct Tilings {
    int heads, kvHeads;
    Tiling tokens, all;
  };
  Tiling tilingOf(int nRows, int heads, int kvHeads, int threads) const;

  ForestLayout layout_;
  std::vector<int32_t> gatedIndex_;
  int nGated_ = 0, nGatedTokens_ = 0;
  std::vector<Tilings> tilings_;
};

}  // namespace idlm

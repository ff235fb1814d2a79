// A forest's layout (src/compute/forest/layout.ts describes the numbers). Validates again what memory safety depends
// on.
#pragma once
#include <cstdint>
#include <vector>

namespace idlm {

class ForestLayout {
 public:
  // As RowField in layout.ts.
  struct Row {
    int32_t token, position, depth, anchor, sequence, slot, gate, nBefore, tailStart, nTail;
  };
  struct Sequence {
    int32_t length, firstPage, nPages;
  };
  struct Limits {
    int vocab, nPages;
    bool hasMask, anchored;  // anchored: MASK rows read their anchor's row
  };

  // Takes ownership of the numbers. Throws std::invalid_argument unless they are a layout.
  void assign(std::vector<int32_t>&& data, const Limits& limits);
  // Drops all rows and outputs.
  void clear() { nRows_ = nTokens_ = nOutputs_ = nTokenOutputs_ = nSequences_ = nSlots_ = 0; }

  int nRows() const { return nRows_; }
  int nTokens() const { return nTokens_; }
  int nOutputs() const { return nOutputs_; }
  int nTokenOutputs() const { return nTokenOutputs_; }
  // Layout row of a forest row; -1: none.
  int rowOf(int forestRow) const;
  int nSequences() const { return nSequences_; }
  const Row& row(int r) const { return rows_[r]; }
  bool isMask(int r) const { return r >= nTokens_; }
  // Row of each output; output of each forest row, -1: none.
  const int32_t* outputs() const { return outputs_; }
  const int32_t* outputOf() const { return outputOf_; }
  int outputOf(int forestRow) const { return forestRow >= 0 && forestRow < nRows_ ? outputOf_[forestRow] : -1; }
  const Sequence& sequence(int s) const { return sequences_[s]; }
  const int32_t* pages(int s) const { return pages_ + sequences_[s].firstPage; }
  const int32_t* tail(int r) const { return tails_ + rows_[r].tailStart; }
  // Upper bound of all slots that rows attend to.
  int nSlots() const { return nSlots_; }

 private:
  std::vector<int32_t> data_;
  int nRows_ = 0, nTokens_ = 0, nOutputs_ = 0, nTokenOutputs_ = 0, nSequences_ = 0, nSlots_ = 0;
  const Row* rows_ = nullptr;
  const int32_t *order_ = nullptr, *outputs_ = nullptr, *outputOf_ = nullptr, *pages_ = nullptr, *tails_ = nullptr;
  const Sequence* sequences_ = nullptr;
};

}  // namespace idlm

// K and V in training: pages as in the engine's KV cache, and a second copy of each page with K and V exchanged,
// because the backward multiplies with V and sums up K.
#pragma once
#include <cstdint>
#include <vector>

#include "executor/arena.h"
#include "kernels/table.h"

namespace idlm {

// The same in all layers.
struct AttentionShape {
  int nHeads = 0, nKvHeads = 0, headDim = 0, dPad = 0;
  bool half = false;
  float scale = 0;
  int group() const { return nHeads / nKvHeads; }
  size_t element() const { return half ? 2 : 4; }
  size_t headBytes() const { return 2 * size_t(dPad) * PAGE * element(); }
  size_t pageBytes() const { return headBytes() * size_t(nKvHeads); }
};

// Pages of some layers. Memory is taken from the system when it is first written.
class AttentionMemory {
 public:
  AttentionMemory() = default;
  AttentionMemory(const AttentionShape& shape, int firstLayer, int nLayers, int nPages, bool isMirrored)
      : firstLayer_(firstLayer),
        nPages_(nPages),
        layerBytes_(shape.pageBytes() * size_t(nPages)),
        isMirrored_(isMirrored),
        arena_(layerBytes_ * size_t(nLayers) * (isMirrored ? 2 : 1)) {}
  int nPages() const { return nPages_; }
  uint8_t* layer(int layer) const { return at(layer, 0); }
  uint8_t* mirror(int layer) const { return isMirrored_ ? at(layer, 1) : nullptr; }

 private:
  uint8_t* at(int layer, int which) const {
    return arena_.data() + (size_t(layer - firstLayer_) * (isMirrored_ ? 2 : 1) + size_t(which)) * layerBytes_;
  }
  int firstLayer_ = 0, nPages_ = 0;
  size_t layerBytes_ = 0;
  bool isMirrored_ = false;
  Arena arena_;
};

}  // namespace idlm

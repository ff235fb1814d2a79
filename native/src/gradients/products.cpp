#include "gradients/products.h"

#include "kernels/format.h"

namespace idlm {

void multiply(const KernelTable& k, const Matrix& m, const Product& p, int panels) {
  // The low-rank term has the rows of the product. In batches, so that the table of rows has a fixed size.
  constexpr int ROWS = 64;
  struct Identity {
    int32_t of[ROWS];
    constexpr Identity() : of() {
      for (int i = 0; i < ROWS; i++) of[i] = i;
    }
  };
  static constexpr Identity identity;
  for (int first = 0; first < p.n; first += ROWS) {
    LinearPart part;
    part.weight = m, part.bias = p.bias;
    part.out = p.out + size_t(first) * p.outStride, part.outStride = p.outStride;
    LinearArgs a;
    a.parts = &part, a.nParts = 1;
    a.nRows = p.n - first < ROWS ? p.n - first : ROWS;
    bool integer = isInteger(m.format);
    a.xStride = integer ? p.quantised->stride : p.xStride * 4;
    a.x = (integer ? p.quantised->bytes.data() : reinterpret_cast<const uint8_t*>(p.x)) + size_t(first) * a.xStride;
    a.epilogue = p.adds ? Epilogue::Add : Epilogue::Store;
    if (p.lowRank.data) {
      part.loraB = p.lowRank;
      bool isQuantised = isInteger(p.lowRank.format);
      a.gated = identity.of;
      a.tStride = isQuantised ? p.quantisedInner->stride : p.innerStride * 4;
      a.t = (isQuantised ? p.quantisedInner->bytes.data() : reinterpret_cast<const uint8_t*>(p.inner)) +
            size_t(first) * a.tStride;
    }
    k.linear(a, 0, panels);
  }
}

}  // namespace idlm

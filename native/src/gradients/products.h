// Products of a few rows with a packed matrix of any type.
#pragma once
#include <vector>

#include "kernels/table.h"

namespace idlm {

// Rows quantised for integer products.
struct QuantisedRows {
  std::vector<uint8_t> bytes;
  size_t stride = 0;

  void quantise(const KernelTable& k, const float* x, size_t xStride, int cols, int n) {
    stride = Quantised::stride(cols);
    if (bytes.size() < stride * size_t(n)) bytes.resize(stride * size_t(n));
    for (int r = 0; r < n; r++) k.quantise(x + size_t(r) * xStride, cols, bytes.data() + size_t(r) * stride);
  }
};

struct Product {
  const float* x = nullptr;  // rows; strides of floats are in floats
  size_t xStride = 0;
  const QuantisedRows* quantised = nullptr;  // the same, for integer matrices
  int n = 0;
  float* out = nullptr;
  size_t outStride = 0;
  bool adds = false;
  const float* bias = nullptr;
  // Low-rank term: this matrix times these rows; without data: none.
  Matrix lowRank;
  const float* inner = nullptr;
  size_t innerStride = 0;
  const QuantisedRows* quantisedInner = nullptr;
};

// out (+)= matrix x (+ lowRank inner) (+ bias), panels [0, panels) of the matrix.
void multiply(const KernelTable& k, const Matrix& m, const Product& p, int panels);
inline void multiply(const KernelTable& k, const Matrix& m, const Product& p) { multiply(k, m, p, m.panels()); }

}  // namespace idlm

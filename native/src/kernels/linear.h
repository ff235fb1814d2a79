// Matrix products of a forward: quantisation of activations, low-rank terms, biases, epilogues.
#pragma once
#include "kernels/products.h"

namespace idlm {
namespace IDLM_ISA {

// Quantises the 32 floats at p as group g of a row: scale = max|x| / 127, q = nearest even. A non-finite value
// makes the scale and thus every product non-finite, so that it is detected.
IDLM_INLINE void quantiseGroup(const float* p, ActGroup* out) {
  F a = fload(p), b = fload(p + 16);
  float largest = maxLanes(fmax(fabs(a), fabs(b)));
  if ((bits(a == a) & bits(b == b)) != 0xffffu) largest = __builtin_nanf("");
  float inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
  if (inverse > 3.4e38f)
    inverse = 0.0f, largest = 0.0f;  // a group so small that 127 / largest overflows counts as zero
  I qa = roundInt(a * fset(inverse)), qb = roundInt(b * fset(inverse));
  bytestore(out->q, qa);
  bytestore(out->q + 16, qb);
  bool sane = largest < 3.4e38f;
  int32_t first = sane ? sumLanes(qa) : 0, total = sane ? first + sumLanes(qb) : 0;
  out->scale = largest / 127.0f;
  out->scaledSum = out->scale * float(total);
  out->minusSum = -total;
  out->minusFirst = -first;
}

static void quantise(const float* x, int cols, uint8_t* row) {
  ActGroup* out = (ActGroup*)row;
  int whole = cols / GROUP;
  for (int g = 0; g < whole; g++) quantiseGroup(x + g * GROUP, out + g);
  if (whole * GROUP == cols) return;
  float padded[GROUP];
  for (int i = 0; i < GROUP; i++) padded[i] = whole * GROUP + i < cols ? x[whole * GROUP + i] : 0.0f;
  quantiseGroup(padded, out + whole);
}

// Quantises `n` groups of floats at x to groups first .. first + n - 1 of a row.
static void quantiseGroups(const float* x, uint8_t* row, int first, int n) {
  for (int i = 0; i < n; i++) quantiseGroup(x + i * GROUP, (ActGroup*)row + first + i);
}

// Adds to `acc` the low-rank term of gated rows.
IDLM_INLINE void addLora(const LinearArgs& a, const LinearPart& part, int panel, int row0, int n, F* acc) {
  if (!a.gated || !part.loraB.data) return;
  F term[TILE];
  for (int r = 0; r < n;) {
    int first = a.gated[row0 + r], run = 1;
    if (first < 0) {
      r++;
      continue;
    }
    while (r + run < n && a.gated[row0 + r + run] == first + run) run++;  // indices of t ascend with rows
    tileRows(part.loraB, panel, {a.t + size_t(first) * a.tStride + part.loraOffset, a.tStride}, run, term);
    for (int i = 0; i < run; i++) acc[r + i] = acc[r + i] + term[i];
    r += run;
  }
}

IDLM_INLINE void panelRows(const LinearArgs& a, const LinearPart& part, int panel, int row0, int n, F* acc) {
  tileRows(part.weight, panel, {a.x + size_t(row0) * a.xStride, a.xStride}, n, acc);
  addLora(a, part, panel, row0, n, acc);
  if (part.bias) {
    F bias = fload(part.bias + panel * PANEL);
    for (int r = 0; r < n; r++) acc[r] = acc[r] + bias;
  }
}

static void linear(const LinearArgs& a, int begin, int end) {
  if (a.epilogue == Epilogue::SwigluQuantised || a.epilogue == Epilogue::Swiglu) {
    // Work items are groups of 32 outputs of parts 0 (gate) and 1 (up) together.
    for (int g = begin; g < end; g++) {
      int panels = a.parts[0].weight.panels() - 2 * g < 2 ? 1 : 2;
      for (int row = 0; row < a.nRows; row += TILE) {
        int n = a.nRows - row < TILE ? a.nRows - row : TILE;
        float m[TILE][GROUP];
        for (int p = 0; p < panels; p++) {
          F gate[TILE], up[TILE];
          panelRows(a, a.parts[0], 2 * g + p, row, n, gate);
          panelRows(a, a.parts[1], 2 * g + p, row, n, up);
          for (int r = 0; r < n; r++) fstore(m[r] + p * PANEL, vsilu(gate[r]) * up[r]);
        }
        for (int r = 0; r < n; r++) {
          if (a.epilogue == Epilogue::SwigluQuantised) {
            for (int i = panels * PANEL; i < GROUP; i++) m[r][i] = 0.0f;
            quantiseGroup(m[r], (ActGroup*)(a.quantisedOut + size_t(row + r) * a.quantisedStride) + g);
          } else {
            float* out = a.parts[0].out + size_t(row + r) * a.parts[0].outStride + g * GROUP;
            memcpy(out, m[r], sizeof(float) * size_t(panels) * PANEL);
          }
        }
      }
    }
    return;
  }
  int first = 0;
  for (int p = 0; p < a.nParts; p++) {
    const LinearPart& part = a.parts[p];
    int panels = part.weight.panels();
    int lo = begin - first > 0 ? begin - first : 0, hi = end - first < panels ? end - first : panels;
    for (int panel = lo; panel < hi; panel++) {
      int nRows = panel >= a.limitPanel ? a.limitRows : a.nRows;
      for (int row = 0; row < nRows; row += TILE) {
        int n = nRows - row < TILE ? nRows - row : TILE;
        F acc[TILE];
        panelRows(a, part, panel, row, n, acc);
        for (int r = 0; r < n; r++) {
          float* out = part.out + size_t(row + r) * part.outStride + size_t(panel) * PANEL;
          fstore(out, a.epilogue == Epilogue::Add ? fload(out) + acc[r] : acc[r]);
          if (a.maxima && row + r >= a.maximaFrom) {
            F numbers = select(acc[r] == acc[r], acc[r], fset(-__builtin_inff()));
            a.maxima[size_t(row + r - a.maximaFrom) * a.maximaStride + size_t(panel)] = maxLanes(numbers);
          }
        }
      }
    }
    first += panels;
  }
}

}  // namespace IDLM_ISA
}  // namespace idlm

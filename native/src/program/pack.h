// Packs stored weights into panels (kernels/format.h), once. Nothing is requantised: integer types keep their integers
// and scales. Only adapters are quantised here (Q8S), since they affect proposals alone.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/table.h"

namespace idlm {

// The panel format for a stored type, by its name in ggml or safetensors; null: not supported.
const Format* packedFormat(const std::string& type);

// The names of the stored types that have panels.
std::vector<std::string> packedTypes();

// Bytes of a stored row; 0: not a whole number of blocks.
size_t storedRowBytes(Format format, int cols);

// Packs panels [begin, end) of [rows, cols]. Row i of the packed matrix is stored row order[i] (null: identity).
void packPanels(const uint8_t* stored, Format format, int rows, int cols, const int32_t* order, uint8_t* out, int begin,
                int end);

// Quantises float32 rows [rows, cols] (times `scale`) to Q8S, or copies them to F32 panels.
void packFloat(const float* w, int rows, int cols, float scale, Format format, uint8_t* out);

// Row `row` of a packed matrix as exact float32.
void unpackRow(const Matrix& m, int row, float* out);

float halfBits(uint16_t h);

}  // namespace idlm

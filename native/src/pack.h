// Weights as stored in files, repacked once into panels (kernels/table.h). Nothing is quantised a second time: integer
// types keep their integers and scales; only adapters are quantised here (Q8S), since they touch proposals alone.
#pragma once
#include <cstdint>
#include <string>

#include "kernels/table.h"

namespace idlm {

enum class Stored : int { F32, F16, BF16, Q8_0, Q4_0, Q4_1, Unknown };

Stored storedType(const std::string& name);
// Bytes of one stored row; 0 where the type does not fit (rows of blocks).
size_t storedRowBytes(Stored type, int cols);
Format packedFormat(Stored type);

// Packs panels [begin, end) of [rows, cols]. Row i of the matrix as used is stored row order[i] (null: identity).
void packPanels(const uint8_t* stored, Stored type, int rows, int cols, const int32_t* order, uint8_t* out, int begin, int end);

// Quantises float32 rows [rows, cols] (times `scale`) to Q8S or copies them to F32 panels.
void packFloat(const float* w, int rows, int cols, float scale, Format format, uint8_t* out);

// Row `row` of a packed matrix as float32, exact.
void unpackRow(const Matrix& m, int row, float* out);

float halfBits(uint16_t h);

}  // namespace idlm

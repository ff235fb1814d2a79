// What both sides of the boundary have to agree on. The addon exports these, and src/compute/native/binding.ts compares
// them with its own when it loads.
#pragma once
#include <cstdint>

namespace idlm {

// Raised whenever the bits of any result change.
constexpr int NUMERICS = 2;

// Positions per KV page and per attention block.
constexpr int PAGE = 16;

// Rows of one forward: enough for long prompts in one piece; beyond it the workspace would be gigabytes.
constexpr int MAX_ROWS = 1 << 16;

// Positions up to which the rotary embedding's angles are exact (executor/trig.h).
constexpr int MAX_POSITION = 1 << 20;

// Most log-probabilities that a draw reports.
constexpr int MAX_LOGPROBS = 64;

// Compute threads of a backend.
constexpr int MAX_THREADS = 256;

// Most tokens that one row proposes.
constexpr int MAX_PROPOSALS = 1024;

}  // namespace idlm

// Constants shared with TypeScript. The addon exports them, and src/compute/native/binding.ts compares them at load.
#pragma once
#include <cstdint>

namespace idlm {

// Increased whenever the bits of any result change.
constexpr int NUMERICS = 2;

// Positions per KV page, and per block of attention.
constexpr int PAGE = 16;

// Most rows of a forward: enough for long prompts at once. More would need gigabytes of workspace.
constexpr int MAX_ROWS = 1 << 16;

// Largest position with exact angles of the rotary embedding (executor/trig.h).
constexpr int MAX_POSITION = 1 << 20;

// Most log-probabilities that a draw reports.
constexpr int MAX_LOGPROBS = 64;

// Most compute threads of a backend.
constexpr int MAX_THREADS = 256;

// Most tokens proposed for one request.
constexpr int MAX_PROPOSALS = 1024;

}  // namespace idlm

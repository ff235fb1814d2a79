// A program's lists, prepared for training: nodes over values in a block's memory, in the order of the forward; the
// backward runs them in reverse. Linear operations with the same input are one node, with their LoRA terms, as in the
// engine.
#pragma once
#include <vector>

#include "program/source.h"

namespace idlm {

// Location of a value or gradient in a block of n rows: float `column` of row r is at
// memory[offset * n + r * stride + column].
struct Place {
  size_t offset = 0;
  int stride = 0, column = 0;
  bool exists() const { return stride > 0; }
};

enum class NodeKind { Embed, MaskEmbed, Enter, Norm, Linear, Rope, Attention, Swiglu, Silu, Add, Concat, Logits };

struct Part {
  int weight = NONE, bias = NONE;  // parameters
  int a = NONE, b = NONE;          // LoRA; NONE: none, or not on these rows
  float scale = 1;
  int width = 0, out = NONE;
  int rank = 0;
  int inner = 0;  // first column of its low-rank product in the node's
  int slope = 0;  // first column of its result's gradient in the node's
  bool trainsWeight = false, trainsBias = false;
};

struct Node {
  NodeKind kind = NodeKind::Add;
  int out = NONE;
  int x = NONE, y = NONE, q = NONE, k = NONE, v = NONE;  // values; gate is x and up is y
  int parameter = NONE, scale = NONE;
  double epsilon = 0;
  int width = 0, headDim = 0, layer = 0, nHeads = 0, nKvHeads = 0, window = 0;
  std::vector<Part> parts;
  int innerWidth = 0, slopeWidth = 0;  // of a linear node
  Place inner;                         // low-rank products of the forward, kept
  Place slopes;                        // gradients of all parts' results
  bool hasBackward = false;
  bool trainsParameter = false;                                     // embed, rmsnorm, logits
  bool xGets = false, yGets = false, kGets = false, vGets = false;  // inputs that have a gradient (x: also q)
  bool xAdds = false, yAdds = false, kAdds = false, vAdds = false;  // inputs whose gradient is added to an earlier one
};

struct Plan {
  std::vector<Node> nodes;
  std::vector<Place> values, gradients;
  std::vector<int> widths;
  size_t floatsPerRow = 0;
  int hidden = NONE;  // after the final norm
  int logits = NONE;  // of MASK rows after the sampler head; in full training of all rows
  int entry = NONE;   // value of token rows that MASK rows start from; NONE: entry at layer 0
};

enum class PlanKind {
  Clean,     // token rows up to the final hidden state; values share memory
  Loss,      // MASK rows up to the logits; values share memory
  Gradient,  // the same, keeping the values that gradients need, and the gradients
  Full       // all rows as token rows up to their logits, keeping the same; a MASK is a token of the vocabulary
};

// Throws std::invalid_argument if native code cannot train the program.
Plan makePlan(const ProgramSource& program, PlanKind kind);

}  // namespace idlm

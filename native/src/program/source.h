// A program as passed from JavaScript (src/compute/program/), with the names of values and parameters resolved to
// indices (addon/program_source.cpp).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace idlm {

constexpr int NONE = -1;

// Rows of a forward, as in src/compute/program/operations.ts.
enum class RowSet { Token, Mask, All, Output, OutputToken, OutputMask, Head };

struct ValueSource {
  std::string id;
  int width = 0;
  RowSet rows = RowSet::All;
};

struct ParameterSource {
  std::string id, type;
  int rows = 0, cols = 0;
  bool isBase = true, isTrainable = false;
  std::vector<int32_t> order;  // stored row of each row; empty: the identity
  // Stored bytes; null: already packed. Valid until the program is loaded.
  const uint8_t* bytes = nullptr;
  size_t size = 0;
};

// Names of the fields of operations, as in src/compute/program/operations.ts. A new kind may add some.
#define IDLM_INPUTS(X) X(x) X(y) X(q) X(k) X(v) X(gate) X(up) X(token) X(mask)
#define IDLM_PARAMETERS(X) X(weight) X(bias) X(a) X(b) X(scale) X(embedding) X(ids)
#define IDLM_NUMBERS(X) X(epsilon) X(scale)
#define IDLM_INTEGERS(X) X(width) X(headDim) X(layer) X(nHeads) X(nKvHeads) X(window)

// An operation of any kind. src/compute/program/operations.ts describes the kinds and their fields; unused fields are
// NONE, or 0.
struct OperationSource {
  std::string kind;
  RowSet rows = RowSet::All;
  int out = NONE;
#define IDLM_INDEX(name) int name = NONE;
#define IDLM_NUMBER(name) double name = 0;
#define IDLM_INTEGER(name) int name = 0;
  struct {
    IDLM_INPUTS(IDLM_INDEX)
  } inputs;  // values
  struct {
    IDLM_PARAMETERS(IDLM_INDEX)
  } parameters;
  struct {
    IDLM_NUMBERS(IDLM_NUMBER)
    IDLM_INTEGERS(IDLM_INTEGER)
  } attributes;
#undef IDLM_INDEX
#undef IDLM_NUMBER
#undef IDLM_INTEGER

  bool is(const char* name) const { return kind == name; }
};

struct ListSource {
  std::vector<ValueSource> values;
  std::vector<OperationSource> operations;
};

// A list over two inputs: a row's hidden state, a value that no operation writes, and a previous token.
struct HeadSource : ListSource {
  int hidden = NONE, logits = NONE;
};

struct ProgramSource {
  int nLayers = 0, hiddenSize = 0, vocabSize = 0;
  bool halfCache = false;
  std::vector<double> inverseFrequencies;
  double attentionFactor = 1;
  std::vector<ParameterSource> parameters;
  ListSource forward;
  int hidden = NONE, logits = NONE, maskLogits = NONE;  // results
  bool hasMask = false;
  int nDepths = 0, entryLayer = 0;
  std::vector<HeadSource> sampler;  // none or one
  std::vector<HeadSource> extraHeads;
};

}  // namespace idlm

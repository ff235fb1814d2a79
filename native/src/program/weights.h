// Parameters as a forward reads them. The base model's are packed once and shared by all programs over it; what an
// adapter brings is a program's own and can be replaced.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "executor/arena.h"
#include "executor/pool.h"
#include "kernels/table.h"
#include "program/source.h"

namespace idlm {

// What a parameter is used as.
enum class Role { Unused, Matrix, Vector, Ids };

struct PackedParameter {
  Role role = Role::Unused;
  std::string type;  // as stored
  int rows = 0, cols = 0;
  Matrix matrix;
  std::vector<float> vector;  // padded with zeros to whole panels
  std::vector<int32_t> ids;
};

// Memory for packed matrices: offsets are planned first, then all of it is allocated at once.
class PackedMemory {
 public:
  // Reserves the panels of a matrix whose `data` is set by `allocate`; the matrix must stay where it is.
  void plan(Matrix& matrix, Format format, int rows, int cols);
  void allocate();
  size_t size() const { return size_; }
  uint8_t* writable(const Matrix& matrix) { return arena_.data() + (matrix.data - arena_.data()); }

 private:
  std::vector<std::pair<Matrix*, size_t>> planned_;
  size_t size_ = 0;
  Arena arena_;
};

// The base model's weights. The rows of the output matrix are in an order that puts the draft vocabulary of the program
// that was loaded first in front.
struct BaseWeights {
  std::map<std::string, PackedParameter> parameters;  // by id
  std::string output;                                 // id of the output matrix
  std::vector<int32_t> order, inverse;                // output row <-> token; empty: the identity
  PackedMemory memory;
};

// The rows of an output matrix that MASK rows and heads look at.
struct DraftOutput {
  Matrix matrix;
  int size = 0;                     // tokens; the matrix may have rows behind them
  const int32_t* tokens = nullptr;  // of the rows; null: row i is token i
  bool isPrefix = true;             // the first rows of the output matrix itself
};

// New values of a parameter.
struct Replacement {
  std::string id;
  const float* values = nullptr;
  size_t length = 0;
};

class Weights {
 public:
  // Plans the memory of all parameters that the lists use, and takes what `shared` has packed from there (null: all is
  // packed here). Throws std::invalid_argument where a parameter is not usable, or `shared` is another model's.
  Weights(const ProgramSource& source, std::shared_ptr<const BaseWeights> shared);

  // Whether `pack` reads the stored bytes of a parameter.
  static bool needsBytes(const ProgramSource& source, int parameter, const BaseWeights* shared);
  // Packs on all threads; the source's bytes are not read later.
  void pack(const ProgramSource& source, Pool& pool);

  Matrix matrix(int parameter) const;
  // [length], padded with zeros to whole panels.
  const float* vector(int parameter, size_t length) const;

  const BaseWeights& base() const { return *base_; }
  std::shared_ptr<const BaseWeights> shareBase() const { return base_; }
  const DraftOutput& draft() const { return draft_; }
  size_t bytes() const { return base_->memory.size() + memory_.size(); }
  size_t sharedBytes() const { return isShared_ ? base_->memory.size() : 0; }

  // Replaces trainable parameters on all threads. Throws std::invalid_argument, and changes nothing, where one is not
  // trainable or of another size. No forward may run.
  void replace(const std::vector<Replacement>& replacements, Pool& pool);

 private:
  // A matrix that is packed from float32, times a scale.
  struct FloatPack {
    int parameter;
    float scale;
  };

  void addUse(const ProgramSource& source, int parameter, Role role);
  void addList(const ProgramSource& source, const ListSource& list);
  void planOutput(const ProgramSource& source);
  static void checkStored(const ParameterSource& p);
  void packFloats(const std::vector<FloatPack>& packs, const std::vector<const float*>& values, int thread,
                  int threads);
  PackedParameter& own(int parameter) { return own_[size_t(parameter)]; }
  const PackedParameter& at(int parameter) const;

  std::shared_ptr<const BaseWeights> base_;
  std::shared_ptr<BaseWeights> packing_;  // base_, until it is packed; null where it is shared
  bool isShared_ = false;
  std::vector<PackedParameter> own_;        // by index; of the base's parameters the role only
  std::vector<ParameterSource> described_;  // without bytes
  std::vector<FloatPack> floats_;
  PackedMemory memory_;
  int output_ = NONE, ids_ = NONE;
  DraftOutput draft_;
  Matrix draftRows_;  // where they are not a prefix
};

}  // namespace idlm

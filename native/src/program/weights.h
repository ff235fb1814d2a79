// Parameters in the form that forwards read. Base weights are packed once and shared by all programs over them; a
// program owns its adapter's parameters, which can be replaced; those of the base if they are trainable and not shared.
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

// How a parameter is used.
enum class Role { Unused, Matrix, Vector, Ids };

struct PackedParameter {
  Role role = Role::Unused;
  std::string type;  // stored type
  int rows = 0, cols = 0;
  Matrix matrix;
  std::vector<float> vector;  // zero-padded to whole panels
  std::vector<int32_t> ids;
};

// Memory of packed matrices: offsets are planned first, then everything is allocated at once.
class PackedMemory {
 public:
  // Reserves the panels of a matrix. `allocate` sets its `data`, so the matrix must not be moved.
  void plan(Matrix& matrix, Format format, int rows, int cols);
  void allocate();
  size_t size() const { return size_; }
  uint8_t* writable(const Matrix& matrix) { return arena_.data() + (matrix.data - arena_.data()); }

 private:
  std::vector<std::pair<Matrix*, size_t>> planned_;
  size_t size_ = 0;
  Arena arena_;
};

// Weights of the base model. The rows of the output matrix are permuted: the draft vocabulary of the first program
// loaded comes first.
struct BaseWeights {
  std::map<std::string, PackedParameter> parameters;  // by id
  std::string output;                                 // id of the output matrix
  std::vector<int32_t> order, inverse;                // output row <-> token; empty: the identity
  PackedMemory memory;
};

// Rows of an output matrix over the draft vocabulary, for MASK rows and heads.
struct DraftOutput {
  Matrix matrix;
  int size = 0;                     // tokens; the matrix may have more rows
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
  // Plans the memory of all parameters of the lists, except those that `shared` has packed (null: none). Throws
  // std::invalid_argument if a parameter is not usable, or `shared` is of another model.
  Weights(const ProgramSource& source, std::shared_ptr<const BaseWeights> shared);

  // Whether `pack` reads the stored bytes of a parameter.
  static bool needsBytes(const ProgramSource& source, int parameter, const BaseWeights* shared);
  // Packs on all threads. The source's bytes are not read later.
  void pack(const ProgramSource& source, Pool& pool);

  Matrix matrix(int parameter) const;
  // [length], zero-padded to whole panels.
  const float* vector(int parameter, size_t length) const;

  const BaseWeights& base() const { return *base_; }
  std::shared_ptr<const BaseWeights> shareBase() const { return base_; }
  const DraftOutput& draft() const { return draft_; }
  size_t bytes() const { return base_->memory.size() + memory_.size(); }
  size_t sharedBytes() const { return isShared_ ? base_->memory.size() : 0; }

  // Replaces trainable parameters on all threads. Throws std::invalid_argument without a change if one is not trainable
  // or of another size. No forward may be running.
  void replace(const std::vector<Replacement>& replacements, Pool& pool);

 private:
  // A matrix packed from float32, times a scale.
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
  PackedParameter& writable(int parameter) {
    const ParameterSource& p = described_[size_t(parameter)];
    return p.isBase ? trained_->parameters.at(p.id) : own(parameter);
  }

  std::shared_ptr<const BaseWeights> base_;
  std::shared_ptr<BaseWeights> packing_;  // base_ while it is being packed; null if it is shared
  std::shared_ptr<BaseWeights> trained_;  // base_ if it has trainable parameters
  bool isShared_ = false;
  std::vector<PackedParameter> own_;        // by index; for the base's parameters only the role
  std::vector<ParameterSource> described_;  // without bytes
  std::vector<FloatPack> floats_;
  PackedMemory memory_;
  int output_ = NONE, ids_ = NONE;
  DraftOutput draft_;
  Matrix draftRows_;  // used if they are not a prefix
};

}  // namespace idlm

#include "program/weights.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "program/pack.h"

namespace idlm {

namespace {

int padded(int n) { return (n + PANEL - 1) / PANEL * PANEL; }

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument(what); }

// Whether the ids are the first rows of an output matrix in this order.
bool beginsWith(const std::vector<int32_t>& order, const std::vector<int32_t>& ids) {
  return !ids.empty() && ids.size() <= order.size() && std::equal(ids.begin(), ids.end(), order.begin());
}

std::vector<int32_t> idsOf(const ParameterSource& p, int vocabSize) {
  if (p.type != "I32" || p.rows != 1 || p.cols < 1 || !p.bytes || p.size != size_t(p.cols) * 4)
    fail("parameter " + p.id + ": expected ids, I32");
  std::vector<int32_t> ids(size_t(p.cols));
  memcpy(ids.data(), p.bytes, p.size);
  for (size_t i = 0; i < ids.size(); i++)
    if (ids[i] < 0 || ids[i] >= vocabSize || (i > 0 && ids[i] <= ids[i - 1]))
      fail("parameter " + p.id + ": ids must be ascending and in the vocabulary");
  return ids;
}

void readVector(const ParameterSource& p, std::vector<float>& out) {
  Format format = *packedFormat(p.type);
  size_t n = size_t(p.rows) * size_t(p.cols);
  out.assign((n + PANEL - 1) / PANEL * PANEL, 0.0f);
  for (size_t i = 0; i < n; i++) {
    size_t from = p.order.empty() ? i : size_t(p.order[i]);
    if (format == Format::F32) {
      memcpy(&out[i], p.bytes + from * 4, 4);
      continue;
    }
    uint16_t half = uint16_t(p.bytes[from * 2] | (p.bytes[from * 2 + 1] << 8));
    uint32_t bits = uint32_t(half) << 16;
    if (format == Format::F16)
      out[i] = halfBits(half);
    else
      memcpy(&out[i], &bits, 4);
  }
}

}  // namespace

void PackedMemory::plan(Matrix& matrix, Format format, int rows, int cols) {
  matrix.format = format, matrix.rows = rows, matrix.cols = cols;
  matrix.stride = panelBytes(format, cols);
  planned_.push_back({&matrix, size_});
  size_ += (matrix.stride * size_t(matrix.panels()) + 63) / 64 * 64;
}

void PackedMemory::allocate() {
  if (size_ == 0) return;
  arena_ = Arena(size_);
  for (auto& [matrix, offset] : planned_) matrix->data = arena_.data() + offset;
  planned_.clear();
}

Weights::Weights(const ProgramSource& source, std::shared_ptr<const BaseWeights> shared) : base_(std::move(shared)) {
  own_.resize(source.parameters.size());
  for (const ParameterSource& p : source.parameters) {
    described_.push_back(p);
    described_.back().bytes = nullptr, described_.back().order.clear();
  }
  isShared_ = base_ != nullptr;
  if (!isShared_) packing_ = std::make_shared<BaseWeights>(), base_ = packing_;
  addList(source, source.forward);
  for (const auto& heads : {&source.sampler, &source.extraHeads})
    for (const HeadSource& head : *heads) addList(source, head);
  planOutput(source);
  memory_.allocate();
  if (packing_) packing_->memory.allocate();
  // A prefix ends within a panel, whose other rows are other tokens.
  const Matrix& output = at(output_).matrix;
  draft_.matrix = draft_.isPrefix ? output : draftRows_;
  if (draft_.isPrefix && ids_ != NONE) draft_.matrix.rows = padded(draft_.size);
}

// Throws if a parameter is used in two ways.
void Weights::addUse(const ProgramSource& source, int parameter, Role role) {
  if (parameter < 0 || size_t(parameter) >= source.parameters.size()) fail("an operation's parameter is missing");
  const ParameterSource& p = source.parameters[size_t(parameter)];
  PackedParameter& own = own_[size_t(parameter)];
  if (own.role == role) return;
  if (own.role != Role::Unused) fail("parameter " + p.id + " is used in two ways");
  own.role = role, own.type = p.type, own.rows = p.rows, own.cols = p.cols;
  if (p.rows < 1 || p.cols < 1 || int64_t(p.rows) * p.cols > INT32_MAX * int64_t(PANEL))
    fail("parameter " + p.id + ": the shape is out of range");
  if (role == Role::Ids) return;
  if (p.isBase && !packing_) {
    auto found = base_->parameters.find(p.id);
    if (found == base_->parameters.end() || found->second.role != role || found->second.type != p.type ||
        found->second.rows != p.rows || found->second.cols != p.cols)
      fail("parameter " + p.id + " is not the one of the model that the weights are shared with");
    return;
  }
  const Format* format = packedFormat(p.type);
  int64_t rowBytes = format ? int64_t(storedRowBytes(*format, role == Role::Vector ? p.rows * p.cols : p.cols)) : 0;
  if (rowBytes == 0 || (role == Role::Vector && isInteger(*format)))
    fail("parameter " + p.id + ": type " + p.type + " of " + std::to_string(p.rows) + " x " + std::to_string(p.cols) +
         " is not supported");
  int64_t expected = rowBytes * (role == Role::Vector ? 1 : p.rows);
  if (!p.bytes || int64_t(p.size) != expected)
    fail("parameter " + p.id + ": has " + std::to_string(p.size) + " bytes, expected " + std::to_string(expected));
  int64_t nOrdered = role == Role::Vector ? int64_t(p.rows) * p.cols : p.rows;
  if (!p.order.empty() && int64_t(p.order.size()) != nOrdered)
    fail("parameter " + p.id + ": the row order has another length");
  for (int32_t row : p.order)
    if (row < 0 || row >= nOrdered) fail("parameter " + p.id + ": the row order is out of range");
  if (!p.isBase) {
    if (p.type != "F32" || !p.order.empty()) fail("parameter " + p.id + ": an adapter's must be F32");
    return;  // addList plans matrices, in the format of the weights they belong to
  }
  PackedParameter& packed = packing_->parameters[p.id];
  packed.role = role, packed.type = p.type, packed.rows = p.rows, packed.cols = p.cols;
  if (role == Role::Matrix) packing_->memory.plan(packed.matrix, *format, p.rows, p.cols);
}

void Weights::addList(const ProgramSource& source, const ListSource& list) {
  auto isQuantised = [&](int parameter) {
    const Format* format = packedFormat(source.parameters[size_t(parameter)].type);
    return format && isInteger(*format);
  };
  // In the format of the base's weights, so that float models can be compared with float references.
  auto addMatrix = [&](int parameter, int like, float scale) {
    addUse(source, parameter, Role::Matrix);
    const ParameterSource& p = source.parameters[size_t(parameter)];
    if (p.isBase) return;
    for (const FloatPack& pack : floats_)
      if (pack.parameter == parameter) fail("parameter " + p.id + " is used twice");
    memory_.plan(own(parameter).matrix, isQuantised(like) ? Format::Q8S : Format::F32, p.rows, p.cols);
    floats_.push_back({parameter, scale});
  };
  auto addVector = [&](int parameter) {
    if (parameter != NONE) addUse(source, parameter, Role::Vector);
  };
  int output = NONE;
  for (const OperationSource& op : list.operations)
    if (op.is("logits")) output = op.parameters.weight;
  if (output == NONE || size_t(output) >= source.parameters.size() || !source.parameters[size_t(output)].isBase)
    fail("a list has no logits of a base matrix");
  if (output_ != NONE && output != output_) fail("lists have different output matrices");
  output_ = output;
  std::map<int, int> weightOf;  // by the value that a linear operation writes
  for (const OperationSource& op : list.operations) {
    const auto& p = op.parameters;
    if (op.is("linear")) {
      addMatrix(p.weight, output, 1);
      weightOf[op.out] = p.weight;
    } else if (op.is("lora")) {
      auto found = weightOf.find(op.inputs.y);
      if (found == weightOf.end()) fail("a lora operation adds to the result of no linear one");
      addMatrix(p.a, found->second, 1);
      addMatrix(p.b, found->second, float(op.attributes.scale));
    } else if (p.weight != NONE) {
      bool isVector = op.is("rmsnorm");
      addUse(source, p.weight, isVector ? Role::Vector : Role::Matrix);
      if (!isVector && !source.parameters[size_t(p.weight)].isBase)
        fail("parameter " + source.parameters[size_t(p.weight)].id + ": an adapter's cannot be used by " + op.kind);
    }
    addVector(p.bias);
    addVector(p.embedding);
    addVector(p.scale);
    if (p.ids == NONE) continue;
    addUse(source, p.ids, Role::Ids);
    if (ids_ != NONE && ids_ != p.ids) fail("lists have different draft vocabularies");
    ids_ = p.ids;
  }
}

void Weights::planOutput(const ProgramSource& source) {
  const ParameterSource& output = source.parameters[size_t(output_)];
  if (output.rows != source.vocabSize) fail("parameter " + output.id + ": expected a row for each token");
  if (!packing_ && base_->output != output.id) fail("parameter " + output.id + " is not the shared output matrix");
  if (ids_ != NONE) own(ids_).ids = idsOf(source.parameters[size_t(ids_)], source.vocabSize);
  const std::vector<int32_t> none, &ids = ids_ == NONE ? none : own(ids_).ids;
  if (packing_) {
    packing_->output = output.id;
    if (!ids.empty()) {
      // The draft vocabulary first: MASK rows read the first panels only.
      std::vector<int32_t>&order = packing_->order, &inverse = packing_->inverse;
      std::vector<bool> isDraft(size_t(source.vocabSize), false);
      for (int32_t id : ids) isDraft[size_t(id)] = true;
      order = ids;
      for (int id = 0; id < source.vocabSize; id++)
        if (!isDraft[size_t(id)]) order.push_back(id);
      inverse.resize(order.size());
      for (size_t i = 0; i < order.size(); i++) inverse[size_t(order[i])] = int32_t(i);
    }
  }
  draft_.size = ids.empty() ? source.vocabSize : int(ids.size());
  draft_.isPrefix = ids.empty() || beginsWith(base_->order, ids);
  if (draft_.isPrefix) {
    draft_.tokens = base_->order.empty() ? nullptr : base_->order.data();
    return;
  }
  // The base has another draft vocabulary in front: this program has its own copy of the rows.
  checkStored(output);
  draft_.tokens = ids.data();
  memory_.plan(draftRows_, *packedFormat(output.type), draft_.size, output.cols);
}

void Weights::checkStored(const ParameterSource& p) {
  const Format* format = packedFormat(p.type);
  if (!format || !p.bytes || p.size != storedRowBytes(*format, p.cols) * size_t(p.rows))
    fail("parameter " + p.id + ": the stored bytes do not fit");
}

bool Weights::needsBytes(const ProgramSource& source, int parameter, const BaseWeights* shared) {
  const ParameterSource& p = source.parameters[size_t(parameter)];
  if (!p.isBase || !shared) return true;
  if (p.id != shared->output) return false;
  for (const ParameterSource& ids : source.parameters)
    if (ids.type == "I32" && ids.bytes && !beginsWith(shared->order, idsOf(ids, source.vocabSize))) return true;
  return false;
}

void Weights::pack(const ProgramSource& source, Pool& pool) {
  struct StoredPack {
    const ParameterSource* p;
    PackedMemory* memory;
    Matrix matrix;
    std::vector<int32_t> order;  // stored row of each row; empty: the identity
  };
  std::vector<StoredPack> stored;
  auto rowsOf = [&](const ParameterSource& p, const std::vector<int32_t>& tokens) {
    if (tokens.empty()) return p.order;
    std::vector<int32_t> rows = tokens;
    if (!p.order.empty())
      for (int32_t& row : rows) row = p.order[size_t(row)];
    return rows;
  };
  for (size_t i = 0; i < source.parameters.size(); i++) {
    const ParameterSource& p = source.parameters[i];
    if (own_[i].role == Role::Vector) {
      if (!p.isBase)
        readVector(p, own_[i].vector);
      else if (packing_)
        readVector(p, packing_->parameters[p.id].vector);
    }
    if (own_[i].role == Role::Matrix && p.isBase && packing_) {
      bool isOutput = int(i) == output_;
      stored.push_back({&p, &packing_->memory, packing_->parameters[p.id].matrix,
                        rowsOf(p, isOutput ? packing_->order : std::vector<int32_t>())});
    }
  }
  if (!draft_.isPrefix) {
    const ParameterSource& output = source.parameters[size_t(output_)];
    stored.push_back({&output, &memory_, draftRows_, rowsOf(output, own(ids_).ids)});
  }
  std::vector<std::vector<float>> copies;  // of unaligned bytes
  std::vector<const float*> values;
  copies.reserve(floats_.size());
  for (const FloatPack& pack : floats_) {
    const ParameterSource& p = source.parameters[size_t(pack.parameter)];
    if (reinterpret_cast<uintptr_t>(p.bytes) % alignof(float) == 0) {
      values.push_back(reinterpret_cast<const float*>(p.bytes));
      continue;
    }
    copies.emplace_back(p.size / 4);
    memcpy(copies.back().data(), p.bytes, p.size);
    values.push_back(copies.back().data());
  }
  auto work = [&](int thread) {
    // The panels of every matrix are split over the threads.
    int n = pool.threads();
    for (const StoredPack& s : stored) {
      int panels = s.matrix.panels();
      packPanels(s.p->bytes, s.matrix.format, s.matrix.rows, s.matrix.cols, s.order.empty() ? nullptr : s.order.data(),
                 s.memory->writable(s.matrix), int(int64_t(panels) * thread / n),
                 int(int64_t(panels) * (thread + 1) / n));
    }
    packFloats(floats_, values, thread, n);
  };
  pool.run(work);
  for (const ParameterSource& p : source.parameters)
    if (p.isBase && p.isTrainable) trained_ = packing_;
  packing_.reset();
}

// A thread packs whole matrices, since those of adapters are small and many.
void Weights::packFloats(const std::vector<FloatPack>& packs, const std::vector<const float*>& values, int thread,
                         int threads) {
  for (size_t i = size_t(thread); i < packs.size(); i += size_t(threads)) {
    const Matrix& m = own(packs[i].parameter).matrix;
    packFloat(values[i], m.rows, m.cols, packs[i].scale, m.format, memory_.writable(m));
  }
}

const PackedParameter& Weights::at(int parameter) const {
  if (parameter < 0 || size_t(parameter) >= described_.size()) fail("an operation's parameter is missing");
  const ParameterSource& p = described_[size_t(parameter)];
  return p.isBase && own_[size_t(parameter)].role != Role::Ids ? base_->parameters.at(p.id) : own_[size_t(parameter)];
}

Matrix Weights::matrix(int parameter) const {
  const PackedParameter& packed = at(parameter);
  if (packed.role != Role::Matrix) fail("parameter " + described_[size_t(parameter)].id + " is not used as a matrix");
  return packed.matrix;
}

const float* Weights::vector(int parameter, size_t length) const {
  const PackedParameter& packed = at(parameter);
  size_t n = size_t(packed.rows) * size_t(packed.cols);
  if (packed.role != Role::Vector || n != length)
    fail("parameter " + described_[size_t(parameter)].id + ": has " + std::to_string(n) + " elements, expected " +
         std::to_string(length));
  return packed.vector.data();
}

void Weights::replace(const std::vector<Replacement>& replacements, Pool& pool) {
  std::vector<FloatPack> packs;
  std::vector<const float*> values;
  struct VectorCopy {
    std::vector<float>* to;
    const float* from;
    size_t length;
  };
  std::vector<VectorCopy> vectors;
  std::vector<std::pair<const Matrix*, const float*>> matrices;
  for (const Replacement& r : replacements) {
    auto found = std::find_if(described_.begin(), described_.end(), [&](const auto& p) { return p.id == r.id; });
    if (found == described_.end() || !found->isTrainable || (found->isBase && !trained_))
      fail("parameter " + r.id + " is not trainable");
    int parameter = int(found - described_.begin());
    size_t length = size_t(found->rows) * size_t(found->cols);
    if (r.length != length)
      fail("parameter " + r.id + ": " + std::to_string(r.length) + " values, expected " + std::to_string(length));
    if (own(parameter).role == Role::Vector) vectors.push_back({&writable(parameter).vector, r.values, length});
    if (found->isBase && own(parameter).role == Role::Matrix) {
      const Matrix& m = writable(parameter).matrix;
      if (m.format != Format::F32 || !base_->order.empty()) fail("parameter " + r.id + " is trained and must be F32");
      matrices.push_back({&m, r.values});
    }
    for (const FloatPack& pack : floats_)
      if (pack.parameter == parameter) packs.push_back(pack), values.push_back(r.values);
  }
  for (const VectorCopy& copy : vectors) std::copy_n(copy.from, copy.length, copy.to->begin());
  auto work = [&](int thread) {
    packFloats(packs, values, thread, pool.threads());
    for (size_t i = size_t(thread); i < matrices.size(); i += size_t(pool.threads())) {
      const Matrix& m = *matrices[i].first;
      packFloat(matrices[i].second, m.rows, m.cols, 1, m.format, trained_->memory.writable(m));
    }
  };
  pool.run(work);
}

}  // namespace idlm

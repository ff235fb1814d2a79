#include "addon/program_source.h"

#include <map>
#include <stdexcept>

namespace idlm {

namespace {

using Indices = std::map<std::string, int>;

using Inputs = decltype(OperationSource::inputs);
using Parameters = decltype(OperationSource::parameters);
using Attributes = decltype(OperationSource::attributes);

template <class T>
struct Named {
  const char* name;
  T field;
};

const Named<RowSet> rowSets[] = {
    {"token", RowSet::Token},
    {"mask", RowSet::Mask},
    {"all", RowSet::All},
    {"output", RowSet::Output},
    {"head", RowSet::Head},
    {"output-token", RowSet::OutputToken},
    {"output-mask", RowSet::OutputMask},
};
#define IDLM_INPUT(name) {#name, &Inputs::name},
#define IDLM_PARAMETER(name) {#name, &Parameters::name},
#define IDLM_ATTRIBUTE(name) {#name, &Attributes::name},
const Named<int Inputs::*> inputFields[] = {IDLM_INPUTS(IDLM_INPUT)};
const Named<int Parameters::*> parameterFields[] = {IDLM_PARAMETERS(IDLM_PARAMETER)};
const Named<int Attributes::*> integerAttributes[] = {IDLM_INTEGERS(IDLM_ATTRIBUTE)};
const Named<double Attributes::*> numberAttributes[] = {IDLM_NUMBERS(IDLM_ATTRIBUTE)};
#undef IDLM_INPUT
#undef IDLM_PARAMETER
#undef IDLM_ATTRIBUTE

// The value for `name`; null: unknown.
template <class T, size_t N>
const T* find(const Named<T> (&known)[N], const std::string& name) {
  for (const Named<T>& k : known)
    if (name == k.name) return &k.field;
  return nullptr;
}

[[noreturn]] void unknown(const Fields& o, const std::string& name) {
  throw std::invalid_argument(o.path() + ": the native backend does not know " + name);
}

RowSet readRows(const Fields& o) {
  const RowSet* rows = find(rowSets, o.text("rows"));
  if (!rows) unknown(o, "the rows " + o.text("rows"));
  return *rows;
}

// Index of the value or parameter named by a property.
int readIndex(const Fields& o, const std::string& key, const Indices& indices) {
  auto found = indices.find(o.text(key.c_str()));
  if (found == indices.end())
    throw std::invalid_argument(o.path() + "." + key + ": there is no " + o.text(key.c_str()));
  return found->second;
}

OperationSource readOperation(const Fields& o, const Indices& values, const Indices& parameterIndices) {
  OperationSource op;
  op.kind = o.text("kind"), op.rows = readRows(o), op.out = readIndex(o, "out", values);
  Fields inputs = o.object("inputs"), parameters = o.object("parameters"), attributes = o.object("attributes");
  for (const std::string& key : inputs.keys()) {
    auto field = find(inputFields, key);
    if (!field) unknown(inputs, key);
    op.inputs.*(*field) = readIndex(inputs, key, values);
  }
  for (const std::string& key : parameters.keys()) {
    auto field = find(parameterFields, key);
    if (!field) unknown(parameters, key);
    op.parameters.*(*field) = readIndex(parameters, key, parameterIndices);
  }
  for (const std::string& key : attributes.keys()) {
    if (auto field = find(integerAttributes, key))
      op.attributes.*(*field) = attributes.integer(key.c_str());
    else if (auto number = find(numberAttributes, key))
      op.attributes.*(*number) = attributes.number(key.c_str());
    else
      unknown(attributes, key);
  }
  return op;
}

// Returns the indices of the values.
Indices readList(const Fields& values, const Elements& operations, const Indices& parameters, ListSource& out) {
  Indices indices;
  for (const std::string& id : values.keys()) {
    Fields value = values.object(id.c_str());
    indices[id] = int(out.values.size());
    out.values.push_back({id, value.integer("width"), readRows(value)});
  }
  for (uint32_t i = 0; i < operations.size(); i++)
    out.operations.push_back(readOperation(operations.at(i), indices, parameters));
  return indices;
}

HeadSource readHead(const Fields& o, const Indices& parameters) {
  HeadSource head;
  Indices values = readList(o.object("values"), o.elements("operations"), parameters, head);
  auto hidden = values.find("hidden");
  if (hidden == values.end()) throw std::invalid_argument(o.path() + ".values: there is no hidden");
  head.hidden = hidden->second, head.logits = readIndex(o, "logits", values);
  return head;
}

ParameterSource readParameter(const Fields& o, const std::string& id) {
  ParameterSource p;
  p.id = id, p.type = o.text("type"), p.rows = o.integer("rows"), p.cols = o.integer("cols");
  p.isBase = o.text("origin") == "base", p.isTrainable = o.flag("isTrainable");
  if (o.has("rowOrder")) o.copy("rowOrder", p.order);
  return p;
}

}  // namespace

ProgramSource readProgram(const Fields& program, const BaseWeights* shared, Holds& holds) {
  ProgramSource s;
  Fields sizes = program.object("sizes");
  s.nLayers = sizes.integer("nLayers"), s.hiddenSize = sizes.integer("hiddenSize"),
  s.vocabSize = sizes.integer("vocabSize");
  s.halfCache = program.text("cacheType") == "f16";
  Fields rope = program.object("rope");
  rope.copy("inverseFrequencies", s.inverseFrequencies);
  s.attentionFactor = rope.number("attentionFactor");

  Fields table = program.object("parameters");
  Indices parameters;
  for (const std::string& id : table.keys()) {
    parameters[id] = int(s.parameters.size());
    s.parameters.push_back(readParameter(table.object(id.c_str()), id));
  }
  // The adapter's first: its draft vocabulary determines whether the output matrix is packed a second time.
  for (bool isBase : {false, true})
    for (size_t i = 0; i < s.parameters.size(); i++) {
      ParameterSource& p = s.parameters[i];
      if (p.isBase != isBase || !Weights::needsBytes(s, int(i), shared)) continue;
      View<uint8_t> bytes = table.object(p.id.c_str()).view<uint8_t>("bytes", &holds);
      p.bytes = bytes.data, p.size = bytes.size;
    }

  Indices values = readList(program.object("values"), program.elements("forward"), parameters, s.forward);
  Fields results = program.object("results");
  s.hidden = readIndex(results, "hidden", values), s.logits = readIndex(results, "logits", values);
  if (results.has("maskLogits")) s.maskLogits = readIndex(results, "maskLogits", values);
  if (program.has("mask")) {
    Fields mask = program.object("mask");
    s.hasMask = true, s.nDepths = mask.integer("nDepths"), s.entryLayer = mask.integer("entryLayer");
  }
  Fields heads = program.object("heads");
  if (heads.has("sampler")) s.sampler.push_back(readHead(heads.object("sampler"), parameters));
  Elements extra = heads.elements("extra");
  for (uint32_t i = 0; i < extra.size(); i++) s.extraHeads.push_back(readHead(extra.at(i), parameters));
  return s;
}

}  // namespace idlm

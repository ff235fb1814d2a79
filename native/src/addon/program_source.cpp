#include "addon/program_source.h"

#include <stdexcept>

namespace idlm {

namespace {

constexpr int MAX_RANK = 1 << 16;

WeightSource readWeight(const Fields& o, Holds& holds) {
  WeightSource w;
  w.rows = o.integer("rows"), w.cols = o.integer("cols");
  w.type = o.text("type");
  View<uint8_t> bytes = o.view<uint8_t>("bytes", &holds);
  w.bytes = bytes.data, w.size = bytes.size;
  if (o.has("rowOrder")) w.order = o.integers("rowOrder");
  return w;
}

LoraSource readLora(const Fields& o, const WeightSource& weight, Holds& holds) {
  LoraSource lora;
  lora.rank = o.integer("rank");
  if (lora.rank < 1 || lora.rank > MAX_RANK) o.fail("rank", "1 to 65536", o.get("rank"));
  lora.scale = float(o.number("scale"));
  size_t rank = size_t(lora.rank);
  lora.a = o.viewOf<float>("a", rank * size_t(weight.cols), &holds).data;
  lora.b = o.viewOf<float>("b", rank * size_t(weight.rows), &holds).data;
  return lora;
}

PartSource readPart(const Fields& o, const ProgramSource& program, Holds& holds) {
  PartSource part;
  part.weight = o.text("weight"), part.bias = o.optionalText("bias"), part.out = o.text("out");
  if (!o.has("lora")) return part;
  auto weight = program.weights.find(part.weight);
  if (weight == program.weights.end())
    throw std::invalid_argument(o.path() + ".weight: there is no weight " + part.weight);
  part.lora = readLora(o.object("lora"), weight->second, holds);
  return part;
}

OperationSource readOperation(const Fields& o, const ProgramSource& program, Holds& holds) {
  OperationSource op;
  op.kind = o.text("kind");
  op.x = o.optionalText("x"), op.y = o.optionalText("y"), op.out = o.optionalText("out");
  op.weight = o.optionalText("weight");
  op.q = o.optionalText("q"), op.k = o.optionalText("k"), op.v = o.optionalText("v");
  op.gate = o.optionalText("gate"), op.up = o.optionalText("up");
  if (o.has("epsilon")) op.epsilon = float(o.number("epsilon"));
  if (o.has("layer")) op.layer = o.integer("layer");
  if (o.has("parts")) {
    Elements parts = o.elements("parts");
    for (uint32_t i = 0; i < parts.size(); i++) op.parts.push_back(readPart(parts.at(i), program, holds));
  }
  return op;
}

void readMask(const Fields& o, ProgramSource& s, Holds& holds) {
  s.hasMask = true;
  o.copy("embedding", s.maskEmbedding);
  s.nDepths = o.integer("nDepths"), s.entryLayer = o.integer("entryLayer");
  s.sharedByDepth = o.flag("sharedByDepth");
  s.entryScale = float(o.number("entryScale"));
  if (!o.has("samplerHead")) return;
  Fields head = o.object("samplerHead");
  size_t h = size_t(s.hiddenSize);
  s.w1 = head.viewOf<float>("w1", 2 * h * h, &holds).data;
  s.w2 = head.viewOf<float>("w2", h * h, &holds).data;
}

}  // namespace

ProgramSource readProgram(const Fields& p, Holds& holds) {
  ProgramSource s;
  s.nLayers = p.integer("nLayers"), s.hiddenSize = p.integer("hiddenSize"), s.vocabSize = p.integer("vocabSize");
  s.nHeads = p.integer("nHeads"), s.nKvHeads = p.integer("nKvHeads"), s.headDim = p.integer("headDim");
  s.halfCache = p.text("cacheType") == "f16";
  Fields rope = p.object("rope");
  rope.copy("inverseFrequencies", s.inverseFrequencies);
  s.attentionFactor = rope.number("attentionFactor");
  Fields buffers = p.object("buffers");
  for (const std::string& name : buffers.keys()) s.buffers[name] = buffers.integer(name.c_str());
  Fields weights = p.object("weights");
  for (const std::string& id : weights.keys()) s.weights[id] = readWeight(weights.object(id.c_str()), holds);
  Elements operations = p.elements("operations");
  for (uint32_t i = 0; i < operations.size(); i++) s.operations.push_back(readOperation(operations.at(i), s, holds));
  if (p.has("mask")) readMask(p.object("mask"), s, holds);
  if (p.has("draftVocabulary")) s.draftVocabulary = p.integers("draftVocabulary");
  if (p.has("extraHeads")) {
    Elements heads = p.elements("extraHeads");
    size_t h = size_t(s.hiddenSize);
    for (uint32_t i = 0; i < heads.size(); i++) {
      Fields head = heads.at(i);
      s.extraHeads.push_back(
          {head.viewOf<float>("weight", h * h, &holds).data, head.viewOf<float>("bias", h, &holds).data});
    }
  }
  return s;
}

}  // namespace idlm

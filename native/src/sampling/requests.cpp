#include "sampling/requests.h"

#include <cmath>
#include <stdexcept>

#include "constants.h"

namespace idlm {

namespace {

class Reader {
 public:
  Reader(const double* data, size_t n, const RequestObjects& objects) : data_(data), n_(n), objects_(objects) {}

  int64_t integer() {
    if (at_ >= n_) throw std::invalid_argument("requests: the data ends early");
    double value = data_[at_++];
    if (!(std::fabs(value) <= 9007199254740991.0) || value != std::trunc(value))
      throw std::invalid_argument("requests: a number is out of range");
    return int64_t(value);
  }
  int small() {
    int64_t value = integer();
    if (value < INT32_MIN || value > INT32_MAX) throw std::invalid_argument("requests: a number is out of range");
    return int(value);
  }
  size_t count() {
    int64_t value = integer();
    if (value < 0 || size_t(value) > n_ - at_) throw std::invalid_argument("requests: a count is out of range");
    return size_t(value);
  }
  std::vector<int32_t> list() {
    std::vector<int32_t> out(count());
    for (int32_t& token : out) token = small();
    return out;
  }
  template <class T>
  const T& object(const std::vector<T>& all) {
    int64_t index = integer();
    if (index < 0 || size_t(index) >= all.size()) throw std::invalid_argument("requests: an object is missing");
    return all[size_t(index)];
  }
  // Null for index -1.
  template <class T>
  T optional(const std::vector<T>& all) {
    if (at_ < n_ && data_[at_] == -1) {
      at_++;
      return nullptr;
    }
    return object(all);
  }
  ProposalKind kind() {
    int value = small();
    if (value < 0 || value > int(ProposalKind::Token)) throw std::invalid_argument("requests: a kind is unknown");
    return ProposalKind(value);
  }
  int proposed() {
    int value = small();
    if (value < 1 || value > MAX_PROPOSALS)
      throw std::invalid_argument("requests: " + std::to_string(value) + " proposals, expected 1 to " +
                                  std::to_string(MAX_PROPOSALS));
    return value;
  }
  void end() const {
    if (at_ != n_) throw std::invalid_argument("requests: the data is longer than the requests");
  }
  const RequestObjects& objects() const { return objects_; }

 private:
  const double* data_;
  size_t n_, at_ = 0;
  const RequestObjects& objects_;
};

}  // namespace

SamplingInput readSampling(const double* data, size_t n, const RequestObjects& objects) {
  SamplingInput out;
  if (n == 0) return out;
  Reader in(data, n, objects);
  out.draws.resize(in.count());
  for (DrawInput& draw : out.draws) {
    draw.row = in.small();
    draw.sampler = in.object(objects.samplers);
    draw.position = in.integer();
    draw.allowed = in.optional(objects.allowed);
    draw.trial = in.optional(objects.trials);
    draw.unverified = in.list();
  }
  out.lookaheads.resize(in.count());
  for (LookaheadInput& ahead : out.lookaheads) {
    ahead.kind = in.kind();
    ahead.count = in.proposed(), ahead.forRejection = in.small() != 0;
    ahead.widths = in.list();
    for (int32_t width : ahead.widths)
      if (width < 0 || width > MAX_PROPOSALS) throw std::invalid_argument("requests: a width is out of range");
    ahead.firstDraw = in.small();
    ahead.anchors.resize(in.count());
    for (size_t i = 0; i < ahead.anchors.size(); i++) {
      LookaheadInput::Anchor& anchor = ahead.anchors[i];
      anchor.parent = in.small(), anchor.token = in.small(), anchor.row = in.small(), anchor.length = in.small();
      if (anchor.parent < (i == 0 ? -1 : 0) || anchor.parent >= int(i))
        throw std::invalid_argument("requests: an anchor's parent does not come before it");
    }
    if (ahead.anchors.empty() || ahead.firstDraw < 0 ||
        size_t(ahead.firstDraw) + ahead.anchors.size() > out.draws.size())
      throw std::invalid_argument("requests: a lookahead without draws");
  }
  in.end();
  return out;
}

std::vector<ProposalInput> readProposals(const double* data, size_t n, const RequestObjects& objects) {
  Reader in(data, n, objects);
  std::vector<ProposalInput> out(in.count());
  for (ProposalInput& request : out) {
    ProposalKind kind = in.kind();
    int row = in.small(), argument = in.small();
    request.source = proposalSource(kind, row, argument);
    request.sampler = in.object(objects.samplers);
    request.position = in.integer();
    request.allowed = in.optional(objects.allowed);
    request.count = in.proposed(), request.forRejection = in.small() != 0;
    request.unverified = in.list();
  }
  in.end();
  return out;
}

}  // namespace idlm

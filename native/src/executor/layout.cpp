#include "executor/layout.h"

#include <stdexcept>
#include <string>

#include "constants.h"

namespace idlm {

namespace {

constexpr size_t HEADER = 8;
// Slots of a sequence: rows of a tree have slots beyond its positions.
constexpr int MAX_SLOTS = MAX_POSITION + MAX_ROWS;

[[noreturn]] void fail(const std::string& what) { throw std::invalid_argument("layout: " + what); }

}  // namespace

void ForestLayout::assign(std::vector<int32_t>&& data, const Limits& limits) {
  clear();
  data_ = std::move(data);
  if (data_.size() < HEADER) fail("the header is cut off");
  const int32_t* header = data_.data();
  int64_t n = header[0], tokens = header[1], outputs = header[2], tokenOutputs = header[3], sequences = header[4],
          pages = header[5], tails = header[6];
  if (n < 1 || n > MAX_ROWS || tokens < 0 || tokens > n || outputs < 0 || outputs > n || tokenOutputs < 0 ||
      tokenOutputs > outputs || tokenOutputs > tokens || outputs - tokenOutputs > n - tokens || sequences < 0 ||
      pages < 0 || tails < 0)
    fail("a count is out of range");
  static_assert(sizeof(Row) == 10 * sizeof(int32_t) && sizeof(Sequence) == 3 * sizeof(int32_t), "read in place");
  constexpr int64_t ROW = 10, SEQUENCE = 3;
  if (int64_t(HEADER) + n * (ROW + 2) + outputs + sequences * SEQUENCE + pages + tails != int64_t(data_.size()))
    fail("the data is not as long as its counts say");
  const int32_t* at = header + HEADER;
  auto take = [&](int64_t count) {
    const int32_t* begin = at;
    at += count;
    return begin;
  };
  rows_ = reinterpret_cast<const Row*>(take(n * ROW));
  order_ = take(n);
  outputs_ = take(outputs);
  outputOf_ = take(n);
  sequences_ = reinterpret_cast<const Sequence*>(take(sequences * SEQUENCE));
  pages_ = take(pages);
  tails_ = take(tails);

  for (int64_t s = 0; s < sequences; s++) {
    const Sequence& own = sequences_[s];
    if (own.firstPage < 0 || own.nPages < 0 || int64_t(own.firstPage) + own.nPages > pages)
      fail("sequence " + std::to_string(s) + ": its pages are not there");
    if (own.nPages > MAX_SLOTS / PAGE) fail("sequence " + std::to_string(s) + ": it has too many pages");
  }
  for (int64_t i = 0; i < pages; i++)
    if (pages_[i] < 0 || pages_[i] >= limits.nPages) fail("page " + std::to_string(pages_[i]) + " is not in the cache");
  for (int64_t r = 0; r < n; r++) {
    const Row& row = rows_[r];
    auto refuse = [&](const char* what) { fail("row " + std::to_string(r) + ": " + what); };
    bool mask = r >= tokens;
    if (mask ? row.token != -1 : row.token < 0 || row.token >= limits.vocab) refuse("its token is out of range");
    if (row.position < 0 || row.position >= MAX_POSITION) refuse("its position is out of range");
    if (mask && (!limits.hasMask || row.depth < 1)) refuse("a MASK row that the model cannot run");
    if (mask && limits.anchored && (row.anchor < 0 || row.anchor >= tokens)) refuse("its anchor is no token row");
    if (row.sequence < 0 || row.sequence >= sequences) refuse("its sequence is not there");
    int64_t slots = int64_t(sequences_[row.sequence].nPages) * PAGE;
    if (row.slot < 0 || row.slot >= slots) refuse("its slot is not in its sequence's pages");
    if (row.nBefore < 0 || row.nBefore > slots) refuse("it sees slots that are not there");
    if (row.tailStart < 0 || row.nTail < 0 || int64_t(row.tailStart) + row.nTail > tails)
      refuse("its tail is not there");
    // Attention computes scores for all slots up to the last one, and uses those of the tail in ascending order.
    int32_t end = row.nBefore;
    for (int32_t i = 0; i < row.nTail; i++) {
      int32_t slot = tails_[row.tailStart + i];
      if (slot < end || slot >= slots) refuse("its tail is not ascending, or not in its sequence's pages");
      end = slot + 1;
    }
    if (end < 1) refuse("it sees nothing, not even itself");
    if (end > nSlots_) nSlots_ = end;
    if (outputOf_[r] < -1 || outputOf_[r] >= outputs) fail("an output is out of range");
  }
  for (int64_t i = 0; i < outputs; i++) {
    bool mask = i >= tokenOutputs;
    if (outputs_[i] < (mask ? tokens : 0) || outputs_[i] >= (mask ? n : tokens))
      fail("an output's row is out of range");
  }
  nRows_ = int(n), nTokens_ = int(tokens), nOutputs_ = int(outputs), nTokenOutputs_ = int(tokenOutputs);
  nSequences_ = int(sequences);
}

int ForestLayout::rowOf(int forestRow) const {
  for (int r = 0; r < nRows_; r++)
    if (order_[r] == forestRow) return r;
  return -1;
}

}  // namespace idlm

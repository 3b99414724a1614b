// The optimizer's table of tensors, split into blocks that threads share.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/context.h"

namespace remoe {

// A row of the table, as laid out in remoe.h.
struct TensorRow {
  uint64_t master;
  uint64_t gradient;
  uint64_t moment_1;
  uint64_t moment_2;
  uint64_t copy;
  uint64_t elements;
  uint64_t flags;
  uint64_t unused;

  bool decays() const { return (flags & 1) != 0; }
  int gradient_dtype() const { return static_cast<int>(flags >> 8 & 0xff); }
};
static_assert(sizeof(TensorRow) == REMOE_TENSOR_WORDS * sizeof(uint64_t));

// Elements per block: enough to hide the search for it, few enough to balance the threads. Sums of
// squares are split by blocks, so their bits do not depend on the threads.
inline constexpr int64_t kTensorBlock = 16384;

struct TensorBlocks {
  const TensorRow* rows;
  std::vector<int64_t> first_block;  // of each row, then the total

  int64_t count() const { return first_block.back(); }
};

// Throws if a row is invalid. `moments`: whether all addresses are required, or only the
// gradient's.
TensorBlocks read_tensor_table(uint64_t table, int32_t count, bool moments);

struct TensorSpan {
  const TensorRow* row;
  int64_t begin;
  int64_t end;
};

TensorSpan span_of(const TensorBlocks& blocks, int64_t block);

}  // namespace remoe

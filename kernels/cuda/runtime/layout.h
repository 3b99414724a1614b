// Layouts of strided operations: shapes of at most 8 axes, simplified before a kernel walks them.
#pragma once

#include <cstdint>

namespace remoe {

constexpr int kMostAxes = 8;
constexpr int kMostOperands = 2;

// Axes from outermost to innermost, each with the strides of the operands. Axes of length 1 are
// dropped, and neighbours that form one run for every operand are merged, so that the inner axis is
// as long as possible. There is always at least one axis.
struct StridedLayout {
  int axes = 0;
  uint64_t count = 1;  // total elements
  uint64_t length[kMostAxes] = {};
  uint64_t stride[kMostOperands][kMostAxes] = {};

  uint64_t inner_length() const { return length[axes - 1]; }
  uint64_t inner_stride(int operand) const { return stride[operand][axes - 1]; }
};

// Reads rank, shape and the strides of `operands` operands. Throws if the layout is invalid.
StridedLayout read_strided_layout(const int32_t* layout, int operands);

// A reduction: axes alternate between kept and reduced after merging.
struct ReductionLayout {
  int axes = 0;
  uint64_t count = 1;
  uint64_t kept_count = 1;
  uint64_t length[kMostAxes] = {};
  bool reduced[kMostAxes] = {};
};

ReductionLayout read_reduction_layout(const int32_t* layout);

}  // namespace remoe

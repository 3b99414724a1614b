// Where the elements of strided operands lie, as kernels compute it.
#pragma once

#include "device/gpu.h"
#include "runtime/layout.h"

namespace remoe {

// Division by a number known at launch, as a multiplication (Granlund and Montgomery, "Division by
// invariant integers using multiplication", PLDI 1994): a hardware division takes some 20
// instructions.
struct Divisor {
  uint32_t multiplier = 1;
  uint32_t shift = 0;

  Divisor() = default;
  // 1 <= divisor < 2^31.
  explicit Divisor(uint32_t divisor) {
    while ((uint32_t{1} << shift) < divisor) shift++;
    const uint64_t excess = (uint64_t{1} << shift) - divisor;
    multiplier = static_cast<uint32_t>((excess << 32) / divisor + 1);
  }

  // For n < 2^31.
  __device__ __forceinline__ uint32_t quotient(uint32_t n) const {
    return (__umulhi(n, multiplier) + n) >> shift;
  }
};

// Axes from innermost to outermost. Loops over them are unrolled: an array among the arguments that
// is indexed by a variable would be copied to local memory.
template <int kOperands>
struct Strides {
  int axes = 0;
  bool is_small = true;  // fewer than 2^31 elements
  uint64_t length[kMostAxes] = {};
  Divisor divisor[kMostAxes];
  uint64_t stride[kOperands][kMostAxes] = {};

  Strides() = default;
  explicit Strides(const StridedLayout& layout) {
    for (int axis = layout.axes - 1; axis >= 0; axis--) {
      add_axis(layout.length[axis]);
      for (int x = 0; x < kOperands; x++) stride[x][axes - 1] = layout.stride[x][axis];
    }
  }

  // The next axis outwards.
  void add_axis(uint64_t of_length) {
    length[axes++] = of_length;
    uint64_t count = 1;
    for (int axis = 0; axis < axes; axis++) count *= length[axis];
    is_small = count < uint64_t{1} << 31;
    if (is_small) divisor[axes - 1] = Divisor(static_cast<uint32_t>(of_length));
  }

  // The offset of element i in every operand.
  __device__ __forceinline__ void offsets(uint64_t i, uint64_t (&offset)[kOperands]) const {
#pragma unroll
    for (int x = 0; x < kOperands; x++) offset[x] = 0;
    uint64_t rest = i;
#pragma unroll
    for (int axis = 0; axis < kMostAxes; axis++) {
      if (axis >= axes - 1) {
#pragma unroll
        for (int x = 0; x < kOperands; x++) offset[x] += rest * stride[x][axis];
        break;
      }
      const uint64_t next = is_small ? uint64_t{divisor[axis].quotient(static_cast<uint32_t>(rest))}
                                     : rest / length[axis];
      const uint64_t index = rest - next * length[axis];
#pragma unroll
      for (int x = 0; x < kOperands; x++) offset[x] += index * stride[x][axis];
      rest = next;
    }
  }

  __device__ __forceinline__ uint64_t offset_of(uint64_t i) const {
    uint64_t offset[kOperands];
    offsets(i, offset);
    return offset[0];
  }
};

// Whether `operand` can be read in runs of `width` elements along the inner axis: adjacent, or all
// the same one. The caller checks where it begins.
inline bool has_runs(const StridedLayout& layout, int operand, uint64_t width) {
  if (layout.axes > 1 && layout.inner_length() % width != 0) return false;
  if (layout.inner_stride(operand) == 0) return true;
  if (layout.inner_stride(operand) != 1) return false;
  for (int axis = 0; axis < layout.axes - 1; axis++) {
    if (layout.stride[operand][axis] % width != 0) return false;
  }
  return true;
}

}  // namespace remoe

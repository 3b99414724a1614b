#include "runtime/layout.h"

namespace remoe {
namespace {

constexpr int64_t kMostElements = int64_t{1} << 46;

int read_rank(const int32_t* layout) {
  require(layout != nullptr, REMOE_INVALID_ARGUMENT, "the layout is null");
  const int rank = layout[0];
  require(rank >= 0 && rank <= kMostAxes, REMOE_INVALID_ARGUMENT,
          "the rank is %d, but must be 0 to %d", rank, kMostAxes);
  return rank;
}

int64_t multiply_length(int64_t count, int32_t length, int axis) {
  require(length >= 1, REMOE_INVALID_ARGUMENT, "axis %d has length %d, but at least 1 is needed",
          axis, length);
  require(count <= kMostElements / length, REMOE_INVALID_ARGUMENT,
          "the shape has more than 2^46 elements");
  return count * length;
}

// Whether axis `outer`, around an axis with `length` and `inner` strides, continues its run.
bool is_run(const StridedLayout& layout, int operands, int outer, const int64_t* inner,
            int64_t length) {
  for (int i = 0; i < operands; ++i) {
    if (layout.stride[i][outer] != inner[i] * length) return false;
  }
  return true;
}

}  // namespace

int64_t StridedLayout::extent(int operand) const {
  int64_t last = 0;
  for (int i = 0; i < axes; ++i) last += (length[i] - 1) * stride[operand][i];
  return last + 1;
}

StridedLayout read_strided_layout(const int32_t* layout, int operands) {
  const int rank = read_rank(layout);
  const int32_t* shape = layout + 1;
  const int32_t* strides = shape + rank;
  StridedLayout result;
  for (int axis = 0; axis < rank; ++axis) {
    result.count = multiply_length(result.count, shape[axis], axis);
    int64_t stride[kMostOperands];
    for (int i = 0; i < operands; ++i) {
      stride[i] = strides[i * rank + axis];
      require(stride[i] >= 0, REMOE_INVALID_ARGUMENT, "the stride of axis %d is %lld, below 0",
              axis, static_cast<long long>(stride[i]));
    }
    if (shape[axis] == 1) continue;
    const bool merges =
        result.axes > 0 && is_run(result, operands, result.axes - 1, stride, shape[axis]);
    const int place = merges ? result.axes - 1 : result.axes++;
    result.length[place] = merges ? result.length[place] * shape[axis] : shape[axis];
    for (int i = 0; i < operands; ++i) result.stride[i][place] = stride[i];
  }
  if (result.axes == 0) {
    result.axes = 1;
    result.length[0] = 1;
    for (int i = 0; i < operands; ++i) result.stride[i][0] = 1;
  }
  return result;
}

ReductionLayout read_reduction_layout(const int32_t* layout) {
  const int rank = read_rank(layout);
  const int32_t* shape = layout + 1;
  const int32_t* flags = shape + rank;
  ReductionLayout result;
  for (int axis = 0; axis < rank; ++axis) {
    result.count = multiply_length(result.count, shape[axis], axis);
    const bool reduced = flags[axis] != 0;
    if (!reduced) result.kept_count *= shape[axis];
    if (shape[axis] == 1) continue;
    const bool merges = result.axes > 0 && result.reduced[result.axes - 1] == reduced;
    const int place = merges ? result.axes - 1 : result.axes++;
    result.length[place] = merges ? result.length[place] * shape[axis] : shape[axis];
    result.reduced[place] = reduced;
  }
  if (result.axes == 0) {
    result.axes = 1;
    result.length[0] = 1;
    result.reduced[0] = true;
  }
  return result;
}

}  // namespace remoe

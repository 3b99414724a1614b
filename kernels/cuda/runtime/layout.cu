#include "runtime/errors.h"
#include "runtime/layout.h"

namespace remoe {
namespace {

constexpr uint64_t kMostElements = uint64_t{1} << 46;

int read_rank(const int32_t* layout) {
  require(layout != nullptr, "the layout is null");
  const int rank = layout[0];
  require(rank >= 0 && rank <= kMostAxes, "the rank is %d, but must be 0 to %d", rank, kMostAxes);
  return rank;
}

uint64_t multiply_length(uint64_t count, int32_t length, int axis) {
  require(length >= 1, "axis %d has length %d, but at least 1 is needed", axis, length);
  require(count <= kMostElements / static_cast<uint64_t>(length),
          "the shape has more than 2^46 elements");
  return count * static_cast<uint64_t>(length);
}

// Whether axis `outer`, around an axis with `length` and `inner` strides, continues its run.
bool is_run(const StridedLayout& layout, int operands, int outer, const uint64_t* inner,
            uint64_t length) {
  for (int i = 0; i < operands; i++) {
    if (layout.stride[i][outer] != inner[i] * length) return false;
  }
  return true;
}

}  // namespace

StridedLayout read_strided_layout(const int32_t* layout, int operands) {
  const int rank = read_rank(layout);
  const int32_t* shape = layout + 1;
  const int32_t* strides = shape + rank;
  StridedLayout result;
  for (int axis = 0; axis < rank; axis++) {
    result.count = multiply_length(result.count, shape[axis], axis);
    const auto length = static_cast<uint64_t>(shape[axis]);
    uint64_t stride[kMostOperands] = {};
    for (int i = 0; i < operands; i++) {
      const int32_t given = strides[i * rank + axis];
      require(given >= 0, "the stride of axis %d is %d, below 0", axis, given);
      stride[i] = static_cast<uint64_t>(given);
    }
    if (length == 1) continue;
    const bool merges =
        result.axes > 0 && is_run(result, operands, result.axes - 1, stride, length);
    const int place = merges ? result.axes - 1 : result.axes++;
    result.length[place] = merges ? result.length[place] * length : length;
    for (int i = 0; i < operands; i++) result.stride[i][place] = stride[i];
  }
  if (result.axes == 0) {
    result.axes = 1;
    result.length[0] = 1;
    for (int i = 0; i < operands; i++) result.stride[i][0] = 1;
  }
  return result;
}

ReductionLayout read_reduction_layout(const int32_t* layout) {
  const int rank = read_rank(layout);
  const int32_t* shape = layout + 1;
  const int32_t* flags = shape + rank;
  ReductionLayout result;
  for (int axis = 0; axis < rank; axis++) {
    result.count = multiply_length(result.count, shape[axis], axis);
    const auto length = static_cast<uint64_t>(shape[axis]);
    const bool reduced = flags[axis] != 0;
    if (!reduced) result.kept_count *= length;
    if (length == 1) continue;
    const bool merges = result.axes > 0 && result.reduced[result.axes - 1] == reduced;
    const int place = merges ? result.axes - 1 : result.axes++;
    result.length[place] = merges ? result.length[place] * length : length;
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

// Copies into a dense target from strided memory: transposes, slices, broadcasts.
#include <algorithm>

#include "per_isa/kernel.h"
#include "per_isa/tensor/walk.h"
#include "runtime/dtype.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

// Side of the square tiles of a transpose: 32 rows of 32 fp32 are 2 x 64 lines, so every line read
// or written is fully used while it is in L1.
constexpr int64_t kTile = 32;

template <class T>
void copy_run(T* target, const T* source, int64_t stride, int64_t n) {
  if (stride == 1) {
    std::copy_n(source, n, target);
  } else if (stride == 0) {
    std::fill_n(target, n, *source);
  } else {
    for (int64_t i = 0; i < n; ++i) target[i] = source[i * stride];
  }
}

// The axis along which the source is contiguous, if that is not the inner one; -1: none.
int transposed_axis(const StridedLayout& layout) {
  if (layout.inner_stride(0) <= 1) return -1;
  for (int i = 0; i < layout.axes - 1; ++i) {
    if (layout.stride[0][i] == 1 && layout.length[i] > 1) return i;
  }
  return -1;
}

// Axis `across` is contiguous in the source, the inner one in the target: both are walked in tiles,
// for every combination of the other axes.
template <class T>
void transpose_tiles(const Context& context, T* target, const T* source,
                     const StridedLayout& layout, int across) {
  const int inner = layout.axes - 1;
  int64_t target_stride[kMostAxes];
  int64_t stride = 1;
  for (int i = inner; i >= 0; --i) {
    target_stride[i] = stride;
    stride *= layout.length[i];
  }
  const int64_t height = layout.length[across], width = layout.length[inner];
  const int64_t tiles = (height + kTile - 1) / kTile;
  const int64_t others = layout.count / (height * width);
  parallel_ranges(context, others * tiles, kTile * width, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      int64_t rest = task / tiles, to = 0, from = 0;
      for (int i = inner - 1; i >= 0; --i) {
        if (i == across) continue;
        to += rest % layout.length[i] * target_stride[i];
        from += rest % layout.length[i] * layout.stride[0][i];
        rest /= layout.length[i];
      }
      const int64_t first = task % tiles * kTile, last = std::min(first + kTile, height);
      for (int64_t j = 0; j < width; j += kTile) {
        const int64_t columns = std::min(kTile, width - j);
        for (int64_t i = first; i < last; ++i) {
          copy_run(target + to + i * target_stride[across] + j,
                   source + from + i + j * layout.inner_stride(0), layout.inner_stride(0), columns);
        }
      }
    }
  });
}

template <class T>
void copy_all(const Context& context, void* target, const void* source,
              const StridedLayout& layout) {
  T* to = static_cast<T*>(target);
  const T* from = static_cast<const T*>(source);
  const int across = transposed_axis(layout);
  if (across >= 0) return transpose_tiles(context, to, from, layout, across);
  parallel_ranges(context, layout.count, 1, [&](int64_t begin, int64_t end) {
    walk_runs(layout, begin, end, [&](int64_t at, const int64_t* offset, int64_t n) {
      copy_run(to + at, from + offset[0], layout.inner_stride(0), n);
    });
  });
}

}  // namespace

void copy_strided(const Context& context, int element_bytes, void* target, const void* source,
                  const StridedLayout& layout) {
  switch (element_bytes) {
    case 2:
      return copy_all<uint16_t>(context, target, source, layout);
    case 4:
      return copy_all<uint32_t>(context, target, source, layout);
    default:
      return copy_all<uint64_t>(context, target, source, layout);
  }
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(copy_strided)

using namespace remoe;

int32_t remoe_copy_strided(uint64_t context, int32_t dtype, uint64_t target, uint64_t source,
                           const int32_t* layout) {
  return guard(context, "copy_strided", [&](Context& c) {
    void* to = require_elements(target, dtype, "target");
    const void* from = require_elements(source, dtype, "source");
    const StridedLayout strides = read_strided_layout(layout, 1);
    REMOE_DISPATCH(c, copy_strided, bytes_of(dtype), to, from, strides);
  });
}
#endif  // REMOE_ENTRY_POINTS

// Sums, means and maxima over axes.
//
// The work is split into blocks whose sizes do not depend on the threads. Each block gives a
// partial result, and these are joined pairwise. An element's rounding error thus grows with the
// block length plus the logarithm of the number of blocks, and the bits are the same for any number
// of threads.
#include <algorithm>
#include <limits>

#include "per_isa/kernel.h"
#include "per_isa/simd/vector_math.h"
#include "runtime/dtype.h"
#include "runtime/layout.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

constexpr int64_t kRunBlock = 4096;  // elements per partial result along an inner, reduced axis
constexpr int64_t kRowBlock = 64;    // rows per partial result down to an inner, kept axis

struct Sum {
  static constexpr float kNeutral = 0;
  template <class F>
  static F join(F a, F b) {
    return a + b;
  }
};
struct Maximum {
  static constexpr float kNeutral = -std::numeric_limits<float>::infinity();
  template <class F>
  static F join(F a, F b) {  // NaN wins
    return b <= a ? a : (a != a ? a : b);
  }
};

template <class Operation, class T>
float reduce_run(const T* x, int64_t n) {
  constexpr int kChains = 4;  // independent sums, so that additions do not wait on each other
  Vec part[kChains];
  for (Vec& p : part) p = broadcast(Operation::kNeutral);
  int64_t i = 0;
  for (; i + kChains * kLanes <= n; i += kChains * kLanes) {
    for (int c = 0; c < kChains; ++c) {
      part[c] = Operation::join(part[c], load(x + i + c * kLanes));
    }
  }
  for (; i + kLanes <= n; i += kLanes) part[0] = Operation::join(part[0], load(x + i));
  const Vec all =
      Operation::join(Operation::join(part[0], part[1]), Operation::join(part[2], part[3]));
  float result = join_lanes(all, [](auto a, auto b) { return Operation::join(a, b); });
  for (; i < n; ++i) result = Operation::join(result, widened(x[i]));
  return result;
}

// Offset of the index-th combination of the kept (or reduced) axes before `axes`.
int64_t offset_of(const ReductionLayout& layout, bool reduced, int axes, int64_t index) {
  int64_t offset = 0, stride = 1;
  for (int i = layout.axes - 1; i >= 0; --i) {
    if (i < axes && layout.reduced[i] == reduced) {
      offset += index % layout.length[i] * stride;
      index /= layout.length[i];
    }
    stride *= layout.length[i];
  }
  return offset;
}

template <class T>
void put(T* target, float value, float scale, bool accumulate) {
  *target = rounded<T>(accumulate ? widened(*target) + value * scale : value * scale);
}

// The inner axis is reduced: every output comes from a number of runs.
template <class Operation, class T>
void reduce_runs(Context& context, T* target, const T* x, const ReductionLayout& layout,
                 float scale, bool accumulate) {
  const int inner = layout.axes - 1;
  const int64_t length = layout.length[inner];
  const int64_t runs = layout.count / layout.kept_count / length;
  const int64_t blocks_per_run = (length + kRunBlock - 1) / kRunBlock;
  const int64_t blocks = runs * blocks_per_run;
  const int64_t cost = layout.count / (layout.kept_count * blocks);
  Scratch<float> partial(context, layout.kept_count * blocks);
  parallel_ranges(context, layout.kept_count * blocks, cost, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t output = task / blocks, block = task % blocks;
      const int64_t first = block % blocks_per_run * kRunBlock;
      const T* run = x + offset_of(layout, false, inner, output) +
                     offset_of(layout, true, inner, block / blocks_per_run) + first;
      partial[task] = reduce_run<Operation>(run, std::min(kRunBlock, length - first));
    }
  });
  parallel_ranges(context, layout.kept_count, blocks, [&](int64_t begin, int64_t end) {
    for (int64_t output = begin; output < end; ++output) {
      float* part = partial.data() + output * blocks;
      for (int64_t step = 1; step < blocks; step *= 2) {
        for (int64_t i = 0; i + step < blocks; i += 2 * step) {
          part[i] = Operation::join(part[i], part[i + step]);
        }
      }
      put(target + output, part[0], scale, accumulate);
    }
  });
}

// The inner axis is kept: its rows are joined element by element.
template <class Operation, class T>
void reduce_rows(Context& context, T* target, const T* x, const ReductionLayout& layout,
                 float scale, bool accumulate) {
  const int inner = layout.axes - 1;
  const int64_t columns = layout.length[inner];
  const int64_t groups = layout.kept_count / columns;
  const int64_t rows = layout.count / layout.kept_count;
  const int64_t blocks = (rows + kRowBlock - 1) / kRowBlock;
  Scratch<float> partial(context, groups * blocks * columns);
  const int64_t cost = std::min(rows, kRowBlock) * columns;
  parallel_ranges(context, groups * blocks, cost, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const T* group = x + offset_of(layout, false, inner, task / blocks);
      const int64_t first = task % blocks * kRowBlock;
      const int64_t last = std::min(first + kRowBlock, rows);
      float* part = partial.data() + task * columns;
      const T* from = group + offset_of(layout, true, inner, first);
      convert_run(part, from, columns);
      for (int64_t row = first + 1; row < last; ++row) {
        from = group + offset_of(layout, true, inner, row);
        each_vector(columns, [&](auto at, int64_t j) {
          at.store(part + j, Operation::join(at.load(part + j), at.load(from + j)));
        });
      }
    }
  });
  parallel_ranges(context, groups * columns, blocks, [&](int64_t begin, int64_t end) {
    for (int64_t output = begin; output < end;) {
      const int64_t group = output / columns, column = output % columns;
      const int64_t n = std::min(columns - column, end - output);
      float* part = partial.data() + group * blocks * columns + column;
      for (int64_t step = 1; step < blocks; step *= 2) {
        for (int64_t i = 0; i + step < blocks; i += 2 * step) {
          float* into = part + i * columns;
          const float* from = part + (i + step) * columns;
#pragma GCC ivdep
          for (int64_t j = 0; j < n; ++j) into[j] = Operation::join(into[j], from[j]);
        }
      }
      for (int64_t j = 0; j < n; ++j) put(target + output + j, part[j], scale, accumulate);
      output += n;
    }
  });
}

template <class Operation>
void reduce_axes(Context& context, int32_t dtype, void* target, const void* x,
                 const ReductionLayout& layout, float scale, bool accumulate) {
  with_element(dtype, [&]<class T>() {
    const bool runs = layout.reduced[layout.axes - 1];
    (runs ? reduce_runs<Operation, T> : reduce_rows<Operation, T>)(context, static_cast<T*>(target),
                                                                   static_cast<const T*>(x), layout,
                                                                   scale, accumulate);
  });
}

}  // namespace

void reduce(Context& context, int operation, int32_t dtype, void* target, const void* x,
            const ReductionLayout& layout, bool accumulate) {
  if (operation == REMOE_MAXIMUM) {
    return reduce_axes<Maximum>(context, dtype, target, x, layout, 1.0f, accumulate);
  }
  const double reduced = static_cast<double>(layout.count / layout.kept_count);
  const float scale = operation == REMOE_MEAN ? static_cast<float>(1.0 / reduced) : 1.0f;
  reduce_axes<Sum>(context, dtype, target, x, layout, scale, accumulate);
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(reduce)

using namespace remoe;

int32_t remoe_reduce(uint64_t context, int32_t operation, int32_t dtype, uint64_t target,
                     uint64_t x, const int32_t* layout, int32_t accumulate) {
  return guard(context, "reduce", [&](Context& c) {
    require_operation(operation, REMOE_MAXIMUM);
    require_float(dtype);
    const ReductionLayout axes = read_reduction_layout(layout);
    REMOE_DISPATCH(c, reduce, operation, dtype, require_elements(target, dtype, "target"),
                   require_elements(x, dtype, "x"), axes, (accumulate & 1) != 0);
  });
}
#endif  // REMOE_ENTRY_POINTS

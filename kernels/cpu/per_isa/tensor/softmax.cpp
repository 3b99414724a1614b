// Softmax over rows, and its gradient.
#include <type_traits>

#include "per_isa/kernel.h"
#include "per_isa/simd/vector_math.h"
#include "runtime/dtype.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

template <class T>
float row_maximum(const T* x, int64_t n) {
  Vec most = broadcast(widened(x[0]));
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) most = maximum(most, load(x + i));
  float result = maximum(most);
  for (; i < n; ++i) result = maximum(result, widened(x[i]));
  return result;
}

// Rows are summed in blocks, so rounding errors grow with the block length and the number of blocks
// rather than with the row length.
constexpr int64_t kBlock = 1024;

// Sums f(first element, count) over the blocks of a row.
template <class Function>
float sum_blocks(int64_t n, Function&& f) {
  float total = 0;
  for (int64_t i = 0; i < n; i += kBlock) total += f(i, n - i < kBlock ? n - i : kBlock);
  return total;
}

// The sum of e^(x - shift). The terms are kept in y unless that would round them, since they are
// still to be scaled.
template <class T>
constexpr bool kKeepsTerms = std::is_same_v<T, float>;
template <class T>
float exponentials(T* y, const T* x, int64_t n, float shift) {
  Vec total{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec e = exponential(load(x + i) - shift);
    if constexpr (kKeepsTerms<T>) store(y + i, e);
    total += e;
  }
  float result = sum(total);
  for (; i < n; ++i) {
    const float e = exponential(widened(x[i]) - shift);
    if constexpr (kKeepsTerms<T>) y[i] = e;
    result += e;
  }
  return result;
}

template <class T>
void softmax_rows(const Context& context, T* target, const T* x, int64_t rows, int64_t columns) {
  parallel_ranges(context, rows, 6 * columns, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      T* y = target + row * columns;
      const T* from = x + row * columns;
      const float shift = row_maximum(from, columns);
      const float scale = 1.0f / sum_blocks(columns, [&](int64_t i, int64_t n) {
                            return exponentials(y + i, from + i, n, shift);
                          });
      if constexpr (kKeepsTerms<T>) {
        map(y, y, columns, [=](Vec v) { return v * scale; });
      } else {
        map(y, from, columns, [=](Vec v) { return exponential(v - shift) * scale; });
      }
    }
  });
}

template <class T>
float product(const T* a, const T* b, int64_t n) {
  Vec total{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) total += load(a + i) * load(b + i);
  float result = sum(total);
  for (; i < n; ++i) result += widened(a[i]) * widened(b[i]);
  return result;
}

template <class T>
void gradient_rows(const Context& context, T* dx, const T* dy, const T* y, int64_t rows,
                   int64_t columns, bool accumulate) {
  parallel_ranges(context, rows, 2 * columns, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* p = y + row * columns;
      const T* dp = dy + row * columns;
      T* target = dx + row * columns;
      const float mean =
          sum_blocks(columns, [&](int64_t i, int64_t n) { return product(dp + i, p + i, n); });
      const auto gradient = [&](auto at, int64_t j) {
        return at.load(p + j) * (at.load(dp + j) - mean);
      };
      if (accumulate) {
        each_vector(columns, [&](auto at, int64_t j) {
          at.store(target + j, at.load(target + j) + gradient(at, j));
        });
      } else {
        each_vector(columns, [&](auto at, int64_t j) { at.store(target + j, gradient(at, j)); });
      }
    }
  });
}

}  // namespace

void softmax(const Context& context, int32_t dtype, void* target, const void* x, int64_t rows,
             int64_t columns) {
  with_element(dtype, [&]<class T>() {
    softmax_rows(context, static_cast<T*>(target), static_cast<const T*>(x), rows, columns);
  });
}

void softmax_gradient(const Context& context, int32_t dtype, void* dx, const void* dy,
                      const void* y, int64_t rows, int64_t columns, bool accumulate) {
  with_element(dtype, [&]<class T>() {
    gradient_rows(context, static_cast<T*>(dx), static_cast<const T*>(dy), static_cast<const T*>(y),
                  rows, columns, accumulate);
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(softmax)
REMOE_KERNEL(softmax_gradient)

using namespace remoe;

int32_t remoe_softmax(uint64_t context, int32_t dtype, uint64_t target, uint64_t x, int32_t rows,
                      int32_t columns) {
  return guard(context, "softmax", [&](Context& c) {
    require_size(rows, "rows");
    require_size(columns, "columns");
    require_float(dtype);
    REMOE_DISPATCH(c, softmax, dtype, require_elements(target, dtype, "target"),
                   require_elements(x, dtype, "x"), rows, columns);
  });
}

int32_t remoe_softmax_gradient(uint64_t context, int32_t dtype, uint64_t dx, uint64_t dy,
                               uint64_t y, int32_t rows, int32_t columns, int32_t accumulate) {
  return guard(context, "softmax_gradient", [&](Context& c) {
    require_size(rows, "rows");
    require_size(columns, "columns");
    require_float(dtype);
    REMOE_DISPATCH(c, softmax_gradient, dtype, require_elements(dx, dtype, "dx"),
                   require_elements(dy, dtype, "dy"), require_elements(y, dtype, "y"), rows,
                   columns, (accumulate & 1) != 0);
  });
}
#endif  // REMOE_ENTRY_POINTS

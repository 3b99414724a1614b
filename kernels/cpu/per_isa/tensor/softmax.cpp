// Softmax over rows, and its gradient.
#include "per_isa/kernel.h"
#include "per_isa/simd/vector_math.h"
#include "runtime/fp32_view.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

float row_maximum(const float* x, int64_t n) {
  Vec most = broadcast(x[0]);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) most = maximum(most, load(x + i));
  float result = maximum(most);
  for (; i < n; ++i) result = result > x[i] ? result : x[i];
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

// y = e^(x - shift); returns the sum.
float exponentials(float* y, const float* x, int64_t n, float shift) {
  Vec total{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec e = exponential(load(x + i) - shift);
    store(y + i, e);
    total += e;
  }
  float result = sum(total);
  for (; i < n; ++i) result += y[i] = exponential(x[i] - shift);
  return result;
}

float product(const float* a, const float* b, int64_t n) {
  Vec total{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) total += load(a + i) * load(b + i);
  float result = sum(total);
  for (; i < n; ++i) result += a[i] * b[i];
  return result;
}

}  // namespace

void softmax(const Context& context, float* target, const float* x, int64_t rows, int64_t columns) {
  parallel_ranges(context, rows, 6 * columns, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* y = target + row * columns;
      const float* from = x + row * columns;
      const float shift = row_maximum(from, columns);
      const float scale = 1.0f / sum_blocks(columns, [&](int64_t i, int64_t n) {
                            return exponentials(y + i, from + i, n, shift);
                          });
      for (int64_t j = 0; j < columns; ++j) y[j] *= scale;
    }
  });
}

void softmax_gradient(const Context& context, float* dx, const float* dy, const float* y,
                      int64_t rows, int64_t columns, bool accumulate) {
  parallel_ranges(context, rows, 2 * columns, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* p = y + row * columns;
      const float* dp = dy + row * columns;
      float* target = dx + row * columns;
      const float mean =
          sum_blocks(columns, [&](int64_t i, int64_t n) { return product(dp + i, p + i, n); });
#pragma GCC ivdep
      for (int64_t j = 0; j < columns; ++j) {
        const float gradient = p[j] * (dp[j] - mean);
        target[j] = accumulate ? target[j] + gradient : gradient;
      }
    }
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
    const int64_t count = int64_t{rows} * columns;
    const Fp32Operand of_x(c, dtype, x, count, "x");
    Fp32Target result(c, dtype, target, count, false, "target");
    REMOE_DISPATCH(c, softmax, result.data(), of_x.data(), rows, columns);
    result.commit();
  });
}

int32_t remoe_softmax_gradient(uint64_t context, int32_t dtype, uint64_t dx, uint64_t dy,
                               uint64_t y, int32_t rows, int32_t columns, int32_t accumulate) {
  return guard(context, "softmax_gradient", [&](Context& c) {
    require_size(rows, "rows");
    require_size(columns, "columns");
    require_float(dtype);
    const int64_t count = int64_t{rows} * columns;
    const bool adds = (accumulate & 1) != 0;
    const Fp32Operand of_dy(c, dtype, dy, count, "dy"), of_y(c, dtype, y, count, "y");
    Fp32Target result(c, dtype, dx, count, adds, "dx");
    REMOE_DISPATCH(c, softmax_gradient, result.data(), of_dy.data(), of_y.data(), rows, columns,
                   adds);
    result.commit();
  });
}
#endif  // REMOE_ENTRY_POINTS

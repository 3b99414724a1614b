// Softmax over rows, and its gradient.
#include "kernels.h"
#include "parallel.h"
#include "vector_math.h"

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

// y = e^(x - shift); gives the sum.
float row_exponentials(float* y, const float* x, int64_t n, float shift) {
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

float row_product(const float* a, const float* b, int64_t n) {
  Vec total{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) total += load(a + i) * load(b + i);
  float result = sum(total);
  for (; i < n; ++i) result += a[i] * b[i];
  return result;
}

}  // namespace

void softmax(const Context& context, float* target, const float* x, int64_t rows,
             int64_t columns) {
  parallel_ranges(context, rows, 6 * columns, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* y = target + row * columns;
      const float* from = x + row * columns;
      const float scale =
          1.0f / row_exponentials(y, from, columns, row_maximum(from, columns));
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
      const float product = row_product(dp, p, columns);
#pragma GCC ivdep
      for (int64_t j = 0; j < columns; ++j) {
        const float gradient = p[j] * (dp[j] - product);
        target[j] = accumulate ? target[j] + gradient : gradient;
      }
    }
  });
}

}  // namespace remoe::REMOE_TARGET

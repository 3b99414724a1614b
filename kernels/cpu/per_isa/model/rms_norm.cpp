// RMSNorm: y = x * weight * r with r = 1/sqrt(mean(x^2) + epsilon).
#include <cmath>
#include <cstring>
#include <limits>

#include "per_isa/kernel.h"
#include "per_isa/simd/elements.h"
#include "runtime/dtype.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

// Rows whose share of dweight is summed in one buffer. Buffers are added in order, so the result
// does not depend on the threads.
constexpr int kBlockRows = 128;

// Bits of `accumulate`.
enum : int { kDx = 1, kDweight = 2 };

// Sum of f(i) over [0, n): f returns a vector at i, or a scalar for the tail.
template <class Function>
REMOE_INLINE float sum_over(int n, Function&& f) {
  // Two sums hide half the latency of an addition.
  Vec even = {}, odd = {};
  int i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    even += f(VectorAccess{}, i);
    odd += f(VectorAccess{}, i + kLanes);
  }
  for (; i + kLanes <= n; i += kLanes) even += f(VectorAccess{}, i);
  float total = sum(even + odd);
  for (; i < n; ++i) total += f(ElementAccess{}, i);
  return total;
}

// 1/sqrt(mean(x^2) + epsilon). In fp32 unless that overflows or underflows: squares overflow above
// 1.8e19, and underflow below 1e-19 unless epsilon hides it.
template <class T>
float inverse_root(const T* x, int columns, float epsilon) {
  const float squares =
      sum_over(columns, [&](auto at, int i) { return at.load(x + i) * at.load(x + i); });
  const float mean = squares / static_cast<float>(columns) + epsilon;
  if (mean > 1e-30f && mean <= std::numeric_limits<float>::max()) [[likely]] {
    return 1.0f / std::sqrt(mean);
  }
  double exact = 0;
  for (int i = 0; i < columns; ++i) exact += static_cast<double>(widened(x[i])) * widened(x[i]);
  return static_cast<float>(1 / std::sqrt(exact / columns + epsilon));
}

// dx_i = r (w_i dy_i) - x_i r^3/D <w dy, x>: the first term is y's dependence on x_i directly, the
// second through r, since dr/dx_i = -r^3 x_i / D.
template <class T>
void row_gradient(T* dx, const T* dy, const T* x, const float* weight, float inverse, int columns,
                  bool accumulate) {
  const float projection = sum_over(columns, [&](auto at, int i) {
    return at.load(weight + i) * at.load(dy + i) * at.load(x + i);
  });
  const float shared = projection * inverse * inverse / static_cast<float>(columns);
  each_vector(columns, [&](auto at, int64_t i) {
    const auto d = inverse * (at.load(weight + i) * at.load(dy + i) - at.load(x + i) * shared);
    at.store(dx + i, accumulate ? at.load(dx + i) + d : d);
  });
}

template <class T>
void forward(Context& context, T* y, float* inverse, const T* x, const float* weight, int rows,
             int columns, float epsilon) {
  parallel_ranges(context, rows, 2 * int64_t{columns}, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* row = x + r * columns;
      const float scale = inverse_root(row, columns, epsilon);
      if (inverse != nullptr) inverse[r] = scale;
      each_vector(columns, [&](auto at, int64_t i) {
        at.store(y + r * columns + i, at.load(row + i) * scale * at.load(weight + i));
      });
    }
  });
}

template <class T>
void gradient(Context& context, T* dx, float* dweight, const T* dy, const float* inverse,
              const T* x, const float* weight, int rows, int columns, int accumulate) {
  const int64_t blocks = (int64_t{rows} + kBlockRows - 1) / kBlockRows;
  Scratch<float> partial(context, dweight != nullptr ? blocks * columns : 0);
  parallel_tasks(context, blocks, [&](int64_t block, int) {
    const int64_t begin = block * kBlockRows;
    const int64_t end = std::min<int64_t>(rows, begin + kBlockRows);
    float* of_block = partial.data() + (dweight != nullptr ? block * columns : 0);
    if (dweight != nullptr) std::memset(of_block, 0, sizeof(float) * columns);
    for (int64_t r = begin; r < end; ++r) {
      const int64_t row = r * columns;
      if (dweight != nullptr) {
        each_vector(columns, [&](auto at, int64_t i) {
          const auto d = at.load(dy + row + i) * at.load(x + row + i) * inverse[r];
          at.store(of_block + i, at.load(of_block + i) + d);
        });
      }
      if (dx != nullptr) {
        row_gradient(dx + row, dy + row, x + row, weight, inverse[r], columns, accumulate & kDx);
      }
    }
  });
  if (dweight == nullptr) return;
  if (!(accumulate & kDweight)) std::memset(dweight, 0, sizeof(float) * columns);
  for (int64_t block = 0; block < blocks; ++block) {
    for (int i = 0; i < columns; ++i) dweight[i] += partial[block * columns + i];
  }
}

}  // namespace

void rms_norm_forward(Context& context, int32_t dtype, void* y, float* inverse, const void* x,
                      const float* weight, int rows, int columns, float epsilon) {
  with_element(dtype, [&]<class T>() {
    forward(context, static_cast<T*>(y), inverse, static_cast<const T*>(x), weight, rows, columns,
            epsilon);
  });
}

void rms_norm_gradient(Context& context, int32_t dtype, void* dx, float* dweight, const void* dy,
                       const float* inverse, const void* x, const float* weight, int rows,
                       int columns, int accumulate) {
  with_element(dtype, [&]<class T>() {
    gradient(context, static_cast<T*>(dx), dweight, static_cast<const T*>(dy), inverse,
             static_cast<const T*>(x), weight, rows, columns, accumulate);
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(rms_norm_forward)
REMOE_KERNEL(rms_norm_gradient)

using namespace remoe;

int32_t remoe_rms_norm_forward(uint64_t context, int32_t dtype, uint64_t y, uint64_t inverse,
                               uint64_t x, uint64_t weight, int32_t rows, int32_t columns,
                               float epsilon) {
  return guard(context, "rms_norm_forward", [&](Context& open) {
    require_size(rows, "rows");
    require_size(columns, "columns");
    require_float(dtype);
    REMOE_DISPATCH(open, rms_norm_forward, dtype, require_elements(y, dtype, "y"),
                   optional_address<float>(inverse, "inverse"), require_elements(x, dtype, "x"),
                   require_address<const float>(weight, "weight"), rows, columns, epsilon);
  });
}

int32_t remoe_rms_norm_gradient(uint64_t context, int32_t dtype, uint64_t dx, uint64_t dweight,
                                uint64_t dy, uint64_t inverse, uint64_t x, uint64_t weight,
                                int32_t rows, int32_t columns, int32_t accumulate) {
  return guard(context, "rms_norm_gradient", [&](Context& open) {
    require_size(rows, "rows");
    require_size(columns, "columns");
    require_float(dtype);
    REMOE_DISPATCH(open, rms_norm_gradient, dtype, optional_elements(dx, dtype, "dx"),
                   optional_address<float>(dweight, "dweight"), require_elements(dy, dtype, "dy"),
                   require_address<const float>(inverse, "inverse"),
                   require_elements(x, dtype, "x"), require_address<const float>(weight, "weight"),
                   rows, columns, accumulate);
  });
}
#endif  // REMOE_ENTRY_POINTS

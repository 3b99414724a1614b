// SwiGLU on its own, for dense blocks; the experts fuse it between their products.
#include "per_isa/moe/swiglu.h"

#include "per_isa/kernel.h"
#include "per_isa/simd/elements.h"
#include "runtime/dtype.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

// An exponential and a division, in units of kGrain.
constexpr int64_t kCost = 8;

template <class T>
void forward_row(T* a, const T* h, int width) {
  const T* g = h;
  const T* u = h + width;
  int i = 0;
  for (; i + kLanes <= width; i += kLanes) store(a + i, swiglu(load(g + i), load(u + i)));
  for (; i < width; ++i) a[i] = rounded<T>(swiglu(widened(g[i]), widened(u[i])));
}

template <class T>
void gradient_row(T* dh, const T* da, const T* h, int width, bool accumulate) {
  T* dg = dh;
  T* du = dh + width;
  int i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    const auto d = swiglu_derivative(load(da + i), load(h + i), load(h + width + i));
    store(dg + i, accumulate ? load(dg + i) + d.dg : d.dg);
    store(du + i, accumulate ? load(du + i) + d.du : d.du);
  }
  for (; i < width; ++i) {
    const auto d = swiglu_derivative(widened(da[i]), widened(h[i]), widened(h[width + i]));
    dg[i] = rounded<T>(accumulate ? widened(dg[i]) + d.dg : d.dg);
    du[i] = rounded<T>(accumulate ? widened(du[i]) + d.du : d.du);
  }
}

}  // namespace

void swiglu_forward(Context& context, int32_t dtype, void* a, const void* h, int rows, int width) {
  with_element(dtype, [&]<class T>() {
    parallel_ranges(context, rows, kCost * width, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        forward_row(static_cast<T*>(a) + r * width, static_cast<const T*>(h) + 2 * r * width,
                    width);
      }
    });
  });
}

void swiglu_gradient(Context& context, int32_t dtype, void* dh, const void* da, const void* h,
                     int rows, int width, bool accumulate) {
  with_element(dtype, [&]<class T>() {
    parallel_ranges(context, rows, kCost * width, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        gradient_row(static_cast<T*>(dh) + 2 * r * width, static_cast<const T*>(da) + r * width,
                     static_cast<const T*>(h) + 2 * r * width, width, accumulate);
      }
    });
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(swiglu_forward)
REMOE_KERNEL(swiglu_gradient)

using namespace remoe;

int32_t remoe_swiglu_forward(uint64_t context, int32_t dtype, uint64_t a, uint64_t h, int32_t rows,
                             int32_t width) {
  return guard(context, "swiglu_forward", [&](Context& open) {
    require_size(rows, "rows");
    require_size(width, "width");
    require_float(dtype);
    REMOE_DISPATCH(open, swiglu_forward, dtype, require_elements(a, dtype, "a"),
                   require_elements(h, dtype, "h"), rows, width);
  });
}

int32_t remoe_swiglu_gradient(uint64_t context, int32_t dtype, uint64_t dh, uint64_t da, uint64_t h,
                              int32_t rows, int32_t width, int32_t accumulate) {
  return guard(context, "swiglu_gradient", [&](Context& open) {
    require_size(rows, "rows");
    require_size(width, "width");
    require_float(dtype);
    REMOE_DISPATCH(open, swiglu_gradient, dtype, require_elements(dh, dtype, "dh"),
                   require_elements(da, dtype, "da"), require_elements(h, dtype, "h"), rows, width,
                   accumulate != 0);
  });
}
#endif  // REMOE_ENTRY_POINTS

// SwiGLU on its own, for dense blocks; the experts fuse it between their products.
#include "per_isa/moe/swiglu.h"

#include "per_isa/kernel.h"
#include "runtime/fp32_view.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

// An exponential and a division, in units of kGrain.
constexpr int64_t kCost = 8;

void forward_row(float* a, const float* h, int width) {
  const float* g = h;
  const float* u = h + width;
  int i = 0;
  for (; i + kLanes <= width; i += kLanes) store(a + i, swiglu(load(g + i), load(u + i)));
  for (; i < width; ++i) a[i] = swiglu(g[i], u[i]);
}

void gradient_row(float* dh, const float* da, const float* h, int width, bool accumulate) {
  float* dg = dh;
  float* du = dh + width;
  int i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    const auto d = swiglu_derivative(load(da + i), load(h + i), load(h + width + i));
    store(dg + i, accumulate ? load(dg + i) + d.dg : d.dg);
    store(du + i, accumulate ? load(du + i) + d.du : d.du);
  }
  for (; i < width; ++i) {
    const auto d = swiglu_derivative(da[i], h[i], h[width + i]);
    dg[i] = accumulate ? dg[i] + d.dg : d.dg;
    du[i] = accumulate ? du[i] + d.du : d.du;
  }
}

}  // namespace

void swiglu_forward(Context& context, float* a, const float* h, int rows, int width) {
  parallel_ranges(context, rows, kCost * width, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) forward_row(a + r * width, h + 2 * r * width, width);
  });
}

void swiglu_gradient(Context& context, float* dh, const float* da, const float* h, int rows,
                     int width, bool accumulate) {
  parallel_ranges(context, rows, kCost * width, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      gradient_row(dh + 2 * r * width, da + r * width, h + 2 * r * width, width, accumulate);
    }
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
    const int64_t count = int64_t{rows} * width;
    const Fp32Operand of_h(open, dtype, h, 2 * count, "h");
    Fp32Target of_a(open, dtype, a, count, false, "a");
    REMOE_DISPATCH(open, swiglu_forward, of_a.data(), of_h.data(), rows, width);
    of_a.commit();
  });
}

int32_t remoe_swiglu_gradient(uint64_t context, int32_t dtype, uint64_t dh, uint64_t da, uint64_t h,
                              int32_t rows, int32_t width, int32_t accumulate) {
  return guard(context, "swiglu_gradient", [&](Context& open) {
    require_size(rows, "rows");
    require_size(width, "width");
    require_float(dtype);
    const int64_t count = int64_t{rows} * width;
    const Fp32Operand of_da(open, dtype, da, count, "da"), of_h(open, dtype, h, 2 * count, "h");
    Fp32Target of_dh(open, dtype, dh, 2 * count, accumulate != 0, "dh");
    REMOE_DISPATCH(open, swiglu_gradient, of_dh.data(), of_da.data(), of_h.data(), rows, width,
                   accumulate != 0);
    of_dh.commit();
  });
}
#endif  // REMOE_ENTRY_POINTS

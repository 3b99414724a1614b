// SwiGLU on its own, for dense blocks; the experts fuse it between their products.

#include "device/floats.h"
#include "moe/swiglu.h"
#include "runtime/dtype.h"
#include "runtime/operation.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kMaximumBlocks = 8192;

template <class T>
struct SwigluArguments {
  T* a;         // [rows, W]; its gradient in the backward pass
  const T* da;  // [rows, W]
  const T* h;   // [rows, 2W]
  T* dh;        // [rows, 2W]
  int width;
  bool accumulate;
};

template <int kCount, class T>
__device__ __forceinline__ void forward_run(const SwigluArguments<T>& s, size_t row, int column) {
  const T* h = s.h + row * 2 * s.width + column;
  float g[kCount], u[kCount], a[kCount];
  load_floats(h, g);
  load_floats(h + s.width, u);
#pragma unroll
  for (int i = 0; i < kCount; i++) a[i] = swiglu(g[i], u[i]);
  store_floats(s.a + row * s.width + column, a);
}

template <int kCount, class T>
__device__ __forceinline__ void gradient_run(const SwigluArguments<T>& s, size_t row, int column) {
  const size_t at = row * 2 * s.width + column;
  float g[kCount], u[kCount], da[kCount];
  float dg[kCount] = {}, du[kCount] = {};
  load_floats(s.h + at, g);
  load_floats(s.h + at + s.width, u);
  load_floats(s.da + row * s.width + column, da);
  if (s.accumulate) {
    load_floats(s.dh + at, dg);
    load_floats(s.dh + at + s.width, du);
  }
#pragma unroll
  for (int i = 0; i < kCount; i++) {
    const SwigluDerivative d = swiglu_derivative(da[i], g[i], u[i]);
    dg[i] += d.dg;
    du[i] += d.du;
  }
  store_floats(s.dh + at, dg);
  store_floats(s.dh + at + s.width, du);
}

// Runs of kCount columns, which do not cross rows.
template <bool kForward, int kCount, class T>
__global__ void __launch_bounds__(kThreads) swiglu_kernel(SwigluArguments<T> s, uint64_t runs) {
  const uint64_t per_row = static_cast<uint64_t>(s.width / kCount);
  const uint64_t stride = static_cast<uint64_t>(gridDim.x) * kThreads;
  for (uint64_t i = static_cast<uint64_t>(blockIdx.x) * kThreads + threadIdx.x; i < runs;
       i += stride) {
    const int column = static_cast<int>(i % per_row) * kCount;
    if constexpr (kForward) {
      forward_run<kCount>(s, i / per_row, column);
    } else {
      gradient_run<kCount>(s, i / per_row, column);
    }
  }
}

template <bool kForward, class T>
void launch_swiglu(Operation& op, const SwigluArguments<T>& s, int rows) {
  constexpr int kCount = 16 / static_cast<int>(sizeof(T));
  const auto addresses = reinterpret_cast<uint64_t>(s.a) | reinterpret_cast<uint64_t>(s.da) |
                         reinterpret_cast<uint64_t>(s.h) | reinterpret_cast<uint64_t>(s.dh);
  const bool wide = s.width % kCount == 0 && addresses % 16 == 0;
  const uint64_t runs = static_cast<uint64_t>(rows) * (wide ? s.width / kCount : s.width);
  op.launch(wide ? swiglu_kernel<kForward, kCount, T> : swiglu_kernel<kForward, 1, T>,
            dim3(grid_blocks(runs, kThreads, kMaximumBlocks)), dim3(kThreads), 0, s, runs);
}

}  // namespace
}  // namespace remoe

int32_t remoe_swiglu_forward(uint64_t context, int32_t dtype, uint64_t a, uint64_t h, int32_t rows,
                             int32_t width) {
  using namespace remoe;
  return guard(context, "swiglu_forward", [&](Operation& op) {
    require_size(rows, "rows");
    require_size(width, "width");
    with_activations(dtype, [&]<class T>(T) {
      const SwigluArguments<T> s = {
          .a = require_address<T>(a, "a"),
          .da = nullptr,
          .h = require_address<const T>(h, "h"),
          .dh = nullptr,
          .width = width,
          .accumulate = false,
      };
      launch_swiglu<true>(op, s, rows);
    });
  });
}

int32_t remoe_swiglu_gradient(uint64_t context, int32_t dtype, uint64_t dh, uint64_t da, uint64_t h,
                              int32_t rows, int32_t width, int32_t accumulate) {
  using namespace remoe;
  return guard(context, "swiglu_gradient", [&](Operation& op) {
    require_size(rows, "rows");
    require_size(width, "width");
    with_activations(dtype, [&]<class T>(T) {
      const SwigluArguments<T> s = {
          .a = nullptr,
          .da = require_address<const T>(da, "da"),
          .h = require_address<const T>(h, "h"),
          .dh = require_address<T>(dh, "dh"),
          .width = width,
          .accumulate = accumulate != 0,
      };
      launch_swiglu<false>(op, s, rows);
    });
  });
}

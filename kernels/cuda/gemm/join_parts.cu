#include "gemm/join_parts.h"
#include "gemm/write_sums.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kMaximumBlocks = 4096;

// A thread joins kRun adjacent elements of a row.
template <int kRun, class C>
__global__ void __launch_bounds__(kThreads) join_parts_kernel(Parts<C> p) {
  const size_t runs = p.count / kRun;
  const size_t per_row = static_cast<size_t>(p.n / kRun);
  const size_t stride = static_cast<size_t>(gridDim.x) * kThreads;
  for (size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x; i < runs; i += stride) {
    float sum[kRun] = {};
#pragma unroll 4
    for (int part = 0; part < p.splits; part++) {
      float of_part[kRun];
      load_floats(p.partial + part * p.count + i * kRun, of_part);
#pragma unroll
      for (int j = 0; j < kRun; j++) sum[j] += of_part[j];
    }
    C* to = p.c + i / per_row * p.ldc + i % per_row * kRun;
    write_run<kRun>(to, sum, kRun, true, p.alpha, p.beta);
  }
}

}  // namespace

template <class C>
void join_parts(Operation& op, const Parts<C>& parts) {
  constexpr int kRun = 4;
  const bool wide = parts.n % kRun == 0 && has_wide_rows(parts.c, parts.ldc);
  op.launch(wide ? join_parts_kernel<kRun, C> : join_parts_kernel<1, C>,
            dim3(grid_blocks(wide ? parts.count / kRun : parts.count, kThreads, kMaximumBlocks)),
            dim3(kThreads), 0, parts);
}

template void join_parts(Operation&, const Parts<float>&);
template void join_parts(Operation&, const Parts<Bf16>&);

}  // namespace remoe

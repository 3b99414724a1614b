// The norm of all gradients. In fp64: the sum of 10^9 squared fp32 values keeps 7 digits.

#include <cmath>

#include "device/block_reduce.h"
#include "model/tensor_schedule.h"

namespace remoe {
namespace {

constexpr int kThreads = kScheduleThreads;
constexpr int kWarps = kThreads / kWarp;
constexpr int kChunk = 8192;  // elements: 8 vectors of a thread

struct SumShared {
  double warp_sums[kWarps];
};

__global__ void __launch_bounds__(kThreads)
    schedule_norm_kernel(TensorSchedule schedule, IndexCheck check) {
  fill_schedule<false>(gpu::shared<ScheduleShared>(), schedule, kChunk, check);
}

template <class G>
__device__ __forceinline__ double squares(const TensorSpan& span) {
  constexpr int kWidth = 4;
  const G* gradient = static_cast<const G*>(span.row.gradient);
  const bool wide = reinterpret_cast<uint64_t>(gradient) % (kWidth * sizeof(G)) == 0;
  // Whole vectors; the rest is less than one vector, or all.
  const size_t vectors = wide ? (span.end - span.begin) / kWidth : 0;
  double total = 0;
#pragma unroll 4
  for (size_t i = threadIdx.x; i < vectors; i += kThreads) {
    const auto v = load_vector<G, kWidth>(gradient + span.begin + i * kWidth);
#pragma unroll
    for (int k = 0; k < kWidth; k++) {
      const double g = to_float(v.element[k]);
      total += g * g;
    }
  }
  for (size_t i = span.begin + vectors * kWidth + threadIdx.x; i < span.end; i += kThreads) {
    const double g = to_float(gradient[i]);
    total += g * g;
  }
  return total;
}

// Each block sums every gridDim-th chunk.
__global__ void __launch_bounds__(kThreads)
    sum_squares_kernel(double* partial, TensorSchedule schedule) {
  SumShared& shared = gpu::shared<SumShared>();
  const uint32_t chunks = schedule.first_chunk[schedule.count];
  double total = 0;
  for (uint32_t chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
    const TensorSpan span(schedule, chunk, kChunk);
    total += span.row.gradient_dtype() == REMOE_BF16 ? squares<Bf16>(span) : squares<float>(span);
  }
  total = block_sum(total, shared.warp_sums);
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

__global__ void __launch_bounds__(kThreads)
    finish_norm_kernel(double* state, const double* partial, int blocks, double clip) {
  double total = 0;
  for (int i = static_cast<int>(threadIdx.x); i < blocks; i += kThreads) total += partial[i];
  total = block_sum(total, gpu::shared<SumShared>().warp_sums);
  if (threadIdx.x != 0) return;
  const double norm = sqrt(total);
  state[REMOE_STATE_GRADIENT_NORM] = norm;
  state[REMOE_STATE_CLIP_SCALE] = clip > 0 ? fmin(1.0, clip / (norm + 1e-6)) : 1.0;
  // Of infinity and NaN, the difference with itself is NaN.
  if (norm - norm != 0) state[REMOE_STATE_NOT_FINITE] = 1;
}

}  // namespace
}  // namespace remoe

int32_t remoe_gradient_norm(uint64_t context, uint64_t state, uint64_t table, int32_t count,
                            double clip) {
  using namespace remoe;
  return guard(context, "gradient_norm", [&](Operation& op) {
    auto* values = require_address<double>(state, "state");
    require_size(count, "count");
    const auto* rows = require_address<const TensorRow>(table, "table");
    const Scratch<uint32_t> first_chunk(op, static_cast<size_t>(count) + 1);
    // The bits depend on the number of blocks, and so on the device alone.
    const int blocks = 8 * op.context.multiprocessors;
    const Scratch<double> partial(op, blocks);
    const TensorSchedule schedule = {rows, first_chunk.data(), count};
    op.launch(schedule_norm_kernel, dim3(1), dim3(kThreads), sizeof(ScheduleShared), schedule,
              op.index_check(fail_at_tensor, 0));
    op.launch(sum_squares_kernel, dim3(blocks), dim3(kThreads), sizeof(SumShared), partial.data(),
              schedule);
    op.launch(finish_norm_kernel, dim3(1), dim3(kThreads), sizeof(SumShared), values,
              partial.data(), blocks, clip);
  });
}

// Attention's gradient on Hopper's tensor cores: a pass over every query for its statistics, then
// two kernels of one block per multiprocessor.

#include <algorithm>
#include <cmath>

#include "attention/attention_paths.h"
#include "attention/flash_gradient_consumer.h"
#include "device/floats.h"

namespace remoe {
namespace flash {
namespace {

struct StatisticsArguments {
  Statistics to;
  const Bf16* out;
  const Bf16* dout;
  const float* normalizer;
  AttentionSizes sizes;
};

constexpr int kRowThreads = 8;  // each has 8 adjacent elements, or twice 8
constexpr int kRowsOfBlock = 32;

// One block per 32 queries of a head, blocks of the same queries one after the other: together they
// read whole rows.
template <int kHead>
__global__ void __launch_bounds__(kRowThreads* kRowsOfBlock)
    flash_statistics_kernel(StatisticsArguments a) {
  const AttentionSizes& sizes = a.sizes;
  const int head = static_cast<int>(blockIdx.x) % sizes.heads;
  const int batch = static_cast<int>(blockIdx.x) / sizes.heads % sizes.batch;
  const int tile = static_cast<int>(blockIdx.x) / sizes.heads / sizes.batch;
  const int thread = static_cast<int>(threadIdx.x) % kRowThreads;
  const int row = tile * kRowsOfBlock + static_cast<int>(threadIdx.x) / kRowThreads;
  const bool inside = row < sizes.sequence;
  const size_t place = (static_cast<size_t>(batch) * sizes.sequence + row) * sizes.heads + head;
  float projection = 0.0f;
#pragma unroll
  for (int d = thread * 8; d < kHead; d += kRowThreads * 8) {
    if (!inside) continue;
    float x[8];
    float y[8];
    load_floats(a.out + place * kHead + d, x);
    load_floats(a.dout + place * kHead + d, y);
#pragma unroll
    for (int i = 0; i < 8; i++) projection += x[i] * y[i];
  }
#pragma unroll
  for (int lanes = 1; lanes < kRowThreads; lanes *= 2) {
    projection += __shfl_xor_sync(kFullWarp, projection, lanes);
  }
  if (thread != 0) return;
  float exponent = INFINITY;
  if (inside) exponent = a.normalizer[2 * place] * kLog2E + log2f(a.normalizer[2 * place + 1]);
  a.to.of(0, batch * sizes.heads + head)[row] = exponent;
  a.to.of(1, batch * sizes.heads + head)[row] = projection;
}

template <int kHead>
__device__ __forceinline__ void init_barriers(GradientShared<kHead>& s) {
  if (threadIdx.x == 0) {
    for (int i = 0; i < GradientShared<kHead>::kBuffers; i++) {
      barrier_init(&s.standing_full[i], 1);
      barrier_init(&s.standing_empty[i], kConsumerWarps);
    }
    for (int i = 0; i < GradientShared<kHead>::kSlots; i++) {
      barrier_init(&s.full[i], 1);
      barrier_init(&s.empty[i], kConsumerWarps);
    }
    barrier_init_fence();
  }
  __syncthreads();
}

template <int kHead, bool kKeysStand>
__global__ void __launch_bounds__(kThreads, 1)
    flash_gradient_kernel(const __grid_constant__ GradientArguments a,
                          const __grid_constant__ GradientMaps maps) {
  GradientShared<kHead>& s = gpu::shared<GradientShared<kHead>>();
  init_barriers(s);
  // Of 65,536 registers the producer needs few, so that two results fit into the consumers'.
  if (threadIdx.x < kWarpgroup) {
    registers_down<24>();
    if (threadIdx.x == 0) {
      GradientProducer<kHead, kKeysStand> producer{s, a, maps};
      producer.run();
    }
  } else {
    registers_up<240>();
    GradientConsumer<kHead, kKeysStand> consumer(s, a);
    consumer.run();
  }
}

template <int kHead, bool kKeysStand>
void launch_pass(Operation& op, const GradientArguments& a, const GradientMaps& maps) {
  const int blocks = std::min(gradient_tiles<kKeysStand>(a.sizes), op.context.multiprocessors);
  op.launch(flash_gradient_kernel<kHead, kKeysStand>, dim3(blocks), dim3(kThreads),
            sizeof(GradientShared<kHead>), a, maps);
}

template <int kHead>
void launch(Operation& op, const StatisticsArguments& statistics, const GradientArguments& a,
            const GradientMaps& maps) {
  const int blocks = a.statistics.padded / kRowsOfBlock * a.statistics.heads;
  op.launch(flash_statistics_kernel<kHead>, dim3(blocks), dim3(kRowThreads * kRowsOfBlock), 0,
            statistics);
  launch_pass<kHead, true>(op, a, maps);
  launch_pass<kHead, false>(op, a, maps);
}

}  // namespace
}  // namespace flash

void flash_gradient(Operation& op, const GradientCall<Bf16>& call) {
  const AttentionSizes& sizes = call.sizes;
  const size_t stride = sizes.stride;
  const flash::GradientMaps maps = {
      flash::map_of(call.q, sizes, sizes.heads, stride),
      flash::map_of(call.k, sizes, sizes.groups, stride),
      flash::map_of(call.v, sizes, sizes.groups, stride),
      flash::map_of(call.dout, sizes, sizes.heads, sizes.out_stride())};
  const int heads = sizes.batch * sizes.heads;
  const int padded = flash::divide_up(sizes.sequence, flash::kSide) * flash::kSide;
  const Scratch<float> memory(op, static_cast<size_t>(2) * heads * padded);
  const flash::Statistics statistics = {memory.data(), heads, padded};
  const flash::StatisticsArguments of_rows = {statistics, call.out, call.dout, call.normalizer,
                                              sizes};
  const flash::GradientArguments a = {
      .dq = call.dq,
      .dk = call.dk,
      .dv = call.dv,
      .statistics = statistics,
      .sizes = sizes,
      .scale = 1.0f / std::sqrt(static_cast<float>(sizes.head_dim)),
  };
  flash::with_head(sizes.head_dim,
                   [&](auto head) { flash::launch<head.value>(op, of_rows, a, maps); });
}

}  // namespace remoe

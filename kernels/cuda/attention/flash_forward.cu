// Attention's forward pass on Hopper's tensor cores: one block of three warpgroups per
// multiprocessor, one of which loads what the other two multiply.

#include <algorithm>
#include <cmath>

#include "attention/attention_paths.h"
#include "attention/flash_forward_consumer.h"

namespace remoe {
namespace flash {
namespace {

template <int kHead>
__device__ __forceinline__ void init_barriers(ForwardShared<kHead>& s) {
  if (threadIdx.x == 0) {
    for (int i = 0; i < kQueryBuffers; i++) {
      barrier_init(&s.query_full[i], 1);
      barrier_init(&s.query_empty[i], kConsumerWarps);
    }
    for (int i = 0; i < ForwardShared<kHead>::kSlots; i++) {
      barrier_init(&s.full[i], 1);
      barrier_init(&s.empty[i], kConsumerWarps);
    }
    barrier_init_fence();
  }
  __syncthreads();
}

template <int kHead>
__global__ void __launch_bounds__(kThreads, 1)
    flash_forward_kernel(const __grid_constant__ ForwardArguments a,
                         const __grid_constant__ ForwardMaps maps) {
  ForwardShared<kHead>& s = gpu::shared<ForwardShared<kHead>>();
  init_barriers(s);
  // Of 65,536 registers the producer needs few, so that scores and sums fit into the consumers'.
  if (threadIdx.x < kWarpgroup) {
    registers_down<40>();
    if (threadIdx.x == 0) {
      ForwardProducer<kHead> producer{s, a.sizes};
      producer.run(maps);
    }
  } else {
    registers_up<232>();
    ForwardConsumer<kHead> consumer(s, a);
    consumer.run();
  }
}

template <int kHead>
void launch(Operation& op, const ForwardArguments& a, const ForwardMaps& maps) {
  const int blocks = std::min(forward_tiles(a.sizes), op.context.multiprocessors);
  op.launch(flash_forward_kernel<kHead>, dim3(blocks), dim3(kThreads), sizeof(ForwardShared<kHead>),
            a, maps);
}

}  // namespace
}  // namespace flash

void flash_forward(Operation& op, const ForwardCall<Bf16>& call) {
  const AttentionSizes& sizes = call.sizes;
  const size_t stride = sizes.stride;
  const flash::ForwardMaps maps = {flash::map_of(call.q, sizes, sizes.heads, stride),
                                   flash::map_of(call.k, sizes, sizes.groups, stride),
                                   flash::map_of(call.v, sizes, sizes.groups, stride)};
  const flash::ForwardArguments a = {
      .out = call.out,
      .normalizer = call.normalizer,
      .sizes = sizes,
      .scale = 1.0f / std::sqrt(static_cast<float>(sizes.head_dim)),
  };
  flash::with_head(sizes.head_dim, [&](auto head) { flash::launch<head.value>(op, a, maps); });
}

}  // namespace remoe

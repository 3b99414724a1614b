// The kernel of grouped products, a block of three warpgroups: one fills the ring of stages, two
// multiply.
#pragma once

#include <algorithm>

#include "gemm/grouped_consumer.h"
#include "gemm/grouped_producer.h"
#include "runtime/operation.h"

namespace remoe::grouped {

// A product: which operands are gathered by the plan's tokens, whether the depth is grouped (A is
// then stored [depth, rows]), whether B is stored [columns, depth], whether its columns are the
// first ones of two halves and theirs, and what becomes of its tiles.
template <bool kGatherA_, bool kGatherB_, bool kGroupedDepth_, bool kTransposedB_, bool kPaired_,
          class E>
struct Product {
  static constexpr bool kGatherA = kGatherA_;
  static constexpr bool kGatherB = kGatherB_;
  static constexpr bool kGroupedDepth = kGroupedDepth_;
  static constexpr bool kTransposedB = kTransposedB_;
  static constexpr bool kPaired = kPaired_;
  using Epilogue = E;
};

template <class P>
__device__ __forceinline__ void begin_block(Shared& s, const Arguments& a, const Maps& maps) {
  if (threadIdx.x < kWarp) fill_schedule<P>(s.schedule, a, static_cast<int>(threadIdx.x));
  if (threadIdx.x == kWarp) {
    for (int i = 0; i < kStages; i++) {
      barrier_init(&s.full[i], P::kGatherA || P::kGatherB ? kWarpgroup + 1 : 1);
      barrier_init(&s.empty[i], kConsumers * kWarpgroup / kWarp);
    }
    barrier_init_fence();
    if (!P::kGatherA) prefetch_map(maps.a);
    if (!P::kGatherB) prefetch_map(maps.b);
  }
  __syncthreads();
}

template <class P>
__global__ void __launch_bounds__(kThreads, 1)
    grouped_product_kernel(const __grid_constant__ Arguments a, const __grid_constant__ Maps maps) {
  Shared& s = gpu::shared<Shared>();
  const int thread = static_cast<int>(threadIdx.x) % kWarpgroup;
  const int warpgroup = static_cast<int>(threadIdx.x) / kWarpgroup;
  begin_block<P>(s, a, maps);
  // Of 65,536 registers the producer needs few, so that the sums fit into the consumers'.
  if (warpgroup == 0) {
    registers_down<40>();
    produce<P>(s, a, maps, thread);
  } else {
    registers_up<232>();
    Consumer consumer{s, warpgroup - 1, thread / kWarp, thread % kWarp};
    consumer.template run<P>(a, maps);
  }
}

// `most_rows`: of all groups together, or of C where the depth is grouped.
template <class P>
void launch_product(Operation& op, const Arguments& a, const Maps& maps, int64_t most_rows) {
  const int64_t columns = column_tiles<P>(a.columns);
  const int64_t row_tiles = (most_rows + kTileRows - 1) / kTileRows;
  const int64_t tiles = P::kGroupedDepth ? row_tiles * columns * a.groups.count
                                         : (row_tiles + a.groups.count - 1) * columns;
  const auto blocks = std::min<int64_t>(tiles, op.context.multiprocessors);
  op.launch(grouped_product_kernel<P>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads),
            sizeof(Shared), a, maps);
}

}  // namespace remoe::grouped

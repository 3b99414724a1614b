#include "device/block_scan.h"
#include "moe/expert_tiles.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;

struct ListArguments {
  int32_t* count;
  ExpertTile* tiles;
  PlanView plan;
  int height;
  IndexCheck check;
};

struct ListShared {
  uint32_t warp_totals[kThreads / kWarp];
};

// One block: a scan over the experts' numbers of tiles.
__global__ void __launch_bounds__(kThreads) list_tiles_kernel(ListArguments a) {
  ListShared& shared = gpu::shared<ListShared>();
  const bool first_thread = threadIdx.x == 0;
  if (first_thread && !a.plan.fits()) a.check.report(a.plan.tokens, a.plan.words[0]);
  const bool empty = a.plan.rows() == 0;
  const int32_t* offset = a.plan.expert_offset();
  uint32_t before = 0;
  for (int begin = 0; !empty && begin < a.plan.experts; begin += kThreads) {
    const int expert = begin + static_cast<int>(threadIdx.x);
    const int32_t row = expert < a.plan.experts ? offset[expert] : 0;
    const int32_t end = expert < a.plan.experts ? offset[expert + 1] : 0;
    const uint32_t own = static_cast<uint32_t>((end - row + a.height - 1) / a.height);
    uint32_t total;
    uint32_t tile = before + block_exclusive_scan<kThreads>(own, shared.warp_totals, total);
    for (int32_t r = row; r < end; r += a.height) {
      const int32_t left = end - r;
      a.tiles[tile++] = {expert, r, left < a.height ? left : a.height, 0};
    }
    before += total;
    // The next round writes warp_totals, which slower warps may still be reading.
    __syncthreads();
  }
  if (first_thread) *a.count = static_cast<int32_t>(before);
}

[[noreturn]] void fail_at_plan(int32_t, int32_t tokens, int32_t experts) {
  fail(REMOE_INVALID_ARGUMENT, "the plan is not one of dispatch_plan for %d tokens and %d experts",
       tokens, experts);
}

}  // namespace

ExpertTiles::ExpertTiles(Operation& op, const PlanView& plan, const ExpertSizes& sizes, int height)
    : most_(most_tiles(sizes, height)), count_(op, 1), tiles_(op, most_) {
  const ListArguments a = {
      .count = count_.data(),
      .tiles = tiles_.data(),
      .plan = plan,
      .height = height,
      .check = op.index_check(fail_at_plan, sizes.experts),
  };
  op.launch(list_tiles_kernel, dim3(1), dim3(kThreads), sizeof(ListShared), a);
}

}  // namespace remoe

// The dispatch plan: the (token, active expert) pairs as compressed rows in both directions.
//
// A warp views a patch of 32 tokens by 32 experts as 1024 bits. Lane i holds the patch's i-th
// column (one expert, one bit per token) and its i-th row (one token, one bit per expert). The
// population count of either gives its size, and that of the bits below a position gives the
// rank. One scan over
//
//   [E * groups]  rows per expert and group of 32 tokens, expert-major
//   [T * words]   rows per token and word of 32 experts, token-major
//
// then gives both orders at once. Rows come out expert-major with tokens ascending, and slots
// token-major with experts ascending, without a sort and independent of the threads' order. Each
// half adds up to N, so the grand total is 2N and the second half's offsets start at N.

#include "device/block_scan.h"
#include "runtime/operation.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kChunk = 4 * kThreads;

struct PlanArguments {
  int32_t* plan;
  const uint32_t* mask;
  uint32_t* offsets;     // [E * groups + T * words], counts first, scanned in place
  uint32_t* chunk_base;  // [chunks], what to add to each chunk of `offsets`
  int tokens;
  int experts;
  int capacity;
  int groups;  // of 32 tokens
  int words;   // of 32 experts

  __device__ __forceinline__ size_t row_slot(int expert, int group) const {
    return static_cast<size_t>(expert) * groups + group;
  }
  __device__ __forceinline__ size_t token_slot(int token, int word) const {
    return static_cast<size_t>(experts) * groups + static_cast<size_t>(token) * words + word;
  }
  __device__ __forceinline__ uint32_t offset(size_t slot) const {
    return offsets[slot] + chunk_base[slot / kChunk];
  }
  __device__ __forceinline__ int32_t* expert_offset() const {
    return plan + remoe_plan_expert_offset();
  }
  __device__ __forceinline__ int32_t* token_offset() const {
    return plan + remoe_plan_token_offset(experts);
  }
  __device__ __forceinline__ int32_t* row_token() const {
    return plan + remoe_plan_row_token(tokens, experts);
  }
  __device__ __forceinline__ int32_t* token_row() const {
    return plan + remoe_plan_token_row(tokens, experts, capacity);
  }
};

// The warp's patch of the mask: its rows as they are read, and transposed into columns.
struct Patch {
  int lane;
  int group;
  int word;
  int token;        // of this lane's row
  int expert;       // of this lane's column
  uint32_t row;     // experts of the word that are active for `token`
  uint32_t column;  // tokens of the group for which `expert` is active

  __device__ __forceinline__ Patch(const PlanArguments& a)
      : lane(static_cast<int>(threadIdx.x) % kWarp),
        group(static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp),
        word(static_cast<int>(blockIdx.y)),
        token(group * kWarp + lane),
        expert(word * kWarp + lane),
        row(0),
        column(0) {
    if (token < a.tokens) {
      row = a.mask[static_cast<size_t>(token) * a.words + word];
      // No router sets bits from E on, but a caller's mask must not write outside the buffers.
      if (word == a.words - 1) row &= 0xffffffffu >> (kWarp - 1 - (a.experts - 1) % kWarp);
    }
#pragma unroll
    for (int i = 0; i < kWarp; i++) {
      const uint32_t bits = __ballot_sync(kFullWarp, (row >> i & 1u) != 0);
      if (lane == i) column = bits;
    }
  }
};

__device__ __forceinline__ uint32_t bits_below(uint32_t bits, int position) {
  return __popc(bits & ((1u << position) - 1));
}

__global__ void __launch_bounds__(kThreads) count_rows_kernel(PlanArguments a) {
  const Patch patch(a);
  if (patch.expert < a.experts && patch.group < a.groups) {
    a.offsets[a.row_slot(patch.expert, patch.group)] = __popc(patch.column);
  }
  if (patch.token < a.tokens) {
    a.offsets[a.token_slot(patch.token, patch.word)] = __popc(patch.row);
  }
}

struct ScanShared {
  uint32_t warp_totals[kWarps];
};

// First level: each block scans one chunk in place and writes its total.
__global__ void __launch_bounds__(kThreads)
    scan_chunk_kernel(uint32_t* values, uint32_t* chunk_total, size_t count) {
  ScanShared& shared = gpu::shared<ScanShared>();
  const size_t first = static_cast<size_t>(blockIdx.x) * kChunk + threadIdx.x * 4;
  uint32_t own[4];
  uint32_t sum = 0;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    own[i] = first + i < count ? values[first + i] : 0;
    sum += own[i];
  }
  uint32_t total;
  uint32_t running = block_exclusive_scan<kThreads>(sum, shared.warp_totals, total);
#pragma unroll
  for (int i = 0; i < 4; i++) {
    if (first + i < count) values[first + i] = running;
    running += own[i];
  }
  if (threadIdx.x == 0) chunk_total[blockIdx.x] = total;
}

// Second level: one block scans the chunk totals in place and writes the plan's header.
__global__ void __launch_bounds__(kThreads) scan_totals_kernel(PlanArguments a, int chunks) {
  ScanShared& shared = gpu::shared<ScanShared>();
  uint32_t carry = 0;
  for (int first = 0; first < chunks; first += kThreads) {
    const int i = first + static_cast<int>(threadIdx.x);
    const uint32_t value = i < chunks ? a.chunk_base[i] : 0;
    uint32_t total;
    const uint32_t before = block_exclusive_scan<kThreads>(value, shared.warp_totals, total);
    if (i < chunks) a.chunk_base[i] = carry + before;
    carry += total;
    // The next round writes warp_totals, which slower warps may still be reading.
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    const int32_t rows = static_cast<int32_t>(carry / 2);
    a.plan[REMOE_PLAN_ROWS] = rows;
    a.plan[REMOE_PLAN_OVERFLOW] = rows > a.capacity ? 1 : 0;
    a.plan[REMOE_PLAN_WITHOUT_EXPERT] = 0;
    a.plan[REMOE_PLAN_CAPACITY] = a.capacity;
  }
}

// Writes the offsets of this patch, counting tokens without an expert on the way.
__device__ __forceinline__ void write_offsets(const PlanArguments& a, const Patch& patch,
                                              int32_t rows) {
  if (patch.group == 0 && patch.expert < a.experts) {
    a.expert_offset()[patch.expert] = static_cast<int32_t>(a.offset(a.row_slot(patch.expert, 0)));
  }
  if (patch.word != 0) return;
  if (patch.token < a.tokens) {
    a.token_offset()[patch.token] =
        static_cast<int32_t>(a.offset(a.token_slot(patch.token, 0))) - rows;
  }
  if (patch.group == 0 && patch.lane == 0) {
    a.expert_offset()[a.experts] = rows;
    a.token_offset()[a.tokens] = rows;
  }
}

__device__ __forceinline__ void count_tokens_without_expert(const PlanArguments& a,
                                                            const Patch& patch, int32_t rows) {
  bool without = false;
  if (patch.word == 0 && patch.token < a.tokens) {
    const bool last = patch.token == a.tokens - 1;
    const uint32_t next =
        last ? 2 * static_cast<uint32_t>(rows) : a.offset(a.token_slot(patch.token + 1, 0));
    without = a.offset(a.token_slot(patch.token, 0)) == next;
  }
  const uint32_t lanes = __ballot_sync(kFullWarp, without);
  // Integer additions: their order does not affect the result.
  if (patch.lane == 0 && lanes != 0) atomicAdd(&a.plan[REMOE_PLAN_WITHOUT_EXPERT], __popc(lanes));
}

__global__ void __launch_bounds__(kThreads) write_plan_kernel(PlanArguments a) {
  const Patch patch(a);
  const int32_t rows = a.plan[REMOE_PLAN_ROWS];
  count_tokens_without_expert(a, patch, rows);
  if (rows > a.capacity) return;
  write_offsets(a, patch, rows);

  const bool has_expert = patch.expert < a.experts && patch.group < a.groups;
  const uint32_t expert_base = has_expert ? a.offset(a.row_slot(patch.expert, patch.group)) : 0;
  const bool has_token = patch.token < a.tokens;
  const uint32_t token_base =
      has_token ? a.offset(a.token_slot(patch.token, patch.word)) - static_cast<uint32_t>(rows) : 0;
  // Expert by expert, one lane per token, so that row_token is written in runs.
  for (int i = 0; i < kWarp; i++) {
    const uint32_t column = __shfl_sync(kFullWarp, patch.column, i);
    const uint32_t base = __shfl_sync(kFullWarp, expert_base, i);
    if ((column >> patch.lane & 1u) == 0) continue;
    const uint32_t row = base + bits_below(column, patch.lane);
    a.row_token()[row] = patch.token;
    a.token_row()[token_base + bits_below(patch.row, i)] = static_cast<int32_t>(row);
  }
}

}  // namespace
}  // namespace remoe

int32_t remoe_dispatch_plan(uint64_t context, uint64_t plan, uint64_t mask, int32_t tokens,
                            int32_t experts, int32_t capacity) {
  using namespace remoe;
  return guard(context, "dispatch_plan", [&](Operation& op) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    require_size(capacity, "capacity");
    require(static_cast<int64_t>(tokens) * experts <= INT32_MAX,
            "%d tokens times %d experts exceed 2^31 rows: split the tokens", tokens, experts);
    const int groups = (tokens + kWarp - 1) / kWarp;
    const int words = (experts + kWarp - 1) / kWarp;
    const size_t slots =
        static_cast<size_t>(experts) * groups + static_cast<size_t>(tokens) * words;
    const int chunks = static_cast<int>((slots + kChunk - 1) / kChunk);
    const Scratch<uint32_t> offsets(op, slots);
    const Scratch<uint32_t> chunk_base(op, chunks);
    const PlanArguments a = {
        .plan = require_address<int32_t>(plan, "plan"),
        .mask = require_address<const uint32_t>(mask, "mask"),
        .offsets = offsets.data(),
        .chunk_base = chunk_base.data(),
        .tokens = tokens,
        .experts = experts,
        .capacity = capacity,
        .groups = groups,
        .words = words,
    };
    const dim3 patches((groups + kWarps - 1) / kWarps, words);
    const dim3 block(kThreads);
    op.launch(count_rows_kernel, patches, block, 0, a);
    op.launch(scan_chunk_kernel, dim3(chunks), block, sizeof(ScanShared), a.offsets, a.chunk_base,
              slots);
    op.launch(scan_totals_kernel, dim3(1), block, sizeof(ScanShared), a, chunks);
    op.launch(write_plan_kernel, patches, block, 0, a);
  });
}

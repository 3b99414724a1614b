// A radix sort by digits of 8 bits, the lowest first. A pass keeps the order of equal digits: a key
// moves behind all keys of lower digits, and behind those of its digit in earlier tiles, earlier
// warps and lower lanes.

#include <utility>

#include "device/block_scan.h"
#include "model/sort_tokens.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;
constexpr int kRounds = 2;  // keys of a thread
constexpr int kTile = kThreads * kRounds;
static_assert(kDigits == kThreads, "a thread per digit");

struct PassArguments {
  SortedTokens to;
  SortedTokens from;  // unless this is the first pass
  uint32_t* digit_counts;
  const int32_t* tokens;
  IndexCheck check;
  int count;
  int vocabulary;
  int shift;
};

// A thread's keys of a tile: rounds of 32 adjacent ones per warp, in the order of the sequence.
__device__ __forceinline__ int position_of(int round) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  return (static_cast<int>(blockIdx.x) * kWarps + warp) * kRounds * kWarp + round * kWarp + lane;
}

// The first pass has the tokens, in their order; out of range, they sort behind the vocabulary.
template <bool kFirst>
__device__ __forceinline__ int32_t key_at(const PassArguments& a, int i) {
  if constexpr (!kFirst) return a.from.tokens[i];
  const int32_t token = a.tokens[i];
  return token >= 0 && token < a.vocabulary ? token : a.vocabulary;
}

__device__ __forceinline__ int digit_of(const PassArguments& a, int32_t key) {
  return key >> a.shift & (kDigits - 1);
}

struct CountShared {
  uint32_t counts[kDigits];
};

// How often each digit occurs in each tile.
template <bool kFirst>
__global__ void __launch_bounds__(kThreads) count_digits_kernel(PassArguments a) {
  CountShared& shared = gpu::shared<CountShared>();
  shared.counts[threadIdx.x] = 0;
  __syncthreads();
#pragma unroll
  for (int round = 0; round < kRounds; round++) {
    const int i = position_of(round);
    if (i >= a.count) continue;
    const int32_t key = key_at<kFirst>(a, i);
    if (kFirst && key == a.vocabulary) a.check.report(i, a.tokens[i]);
    atomicAdd(&shared.counts[digit_of(a, key)], 1u);
  }
  __syncthreads();
  a.digit_counts[static_cast<size_t>(blockIdx.x) * kDigits + threadIdx.x] =
      shared.counts[threadIdx.x];
}

struct MoveShared {
  uint32_t warp_totals[kWarps];
  uint32_t next[kWarps][kDigits];  // where a warp's next key of a digit goes
};

// The lanes whose keys have this lane's digit. Lanes behind the end have a digit of their own.
__device__ __forceinline__ uint32_t lanes_alike(const PassArguments& a, int i, int digit) {
  return __match_any_sync(kFullWarp, i < a.count ? digit : kDigits);
}

// Fills `next` from the counts of all tiles.
template <bool kFirst>
__device__ __forceinline__ void find_places(MoveShared& shared, const PassArguments& a) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int own_digit = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int w = 0; w < kWarps; w++) shared.next[w][own_digit] = 0;
  __syncthreads();
  for (int round = 0; round < kRounds; round++) {
    const int i = position_of(round);
    const int digit = i < a.count ? digit_of(a, key_at<kFirst>(a, i)) : 0;
    const uint32_t alike = lanes_alike(a, i, digit);
    // The lowest lane counts for all.
    if (i < a.count && (alike & ((1u << lane) - 1)) == 0) {
      shared.next[warp][digit] += __popc(alike);
    }
    __syncwarp();
  }
  uint32_t before = 0;
  uint32_t all = 0;
#pragma unroll 8
  for (unsigned tile = 0; tile < gridDim.x; tile++) {
    const uint32_t count = a.digit_counts[static_cast<size_t>(tile) * kDigits + own_digit];
    if (tile < blockIdx.x) before += count;
    all += count;
  }
  uint32_t total;
  // Its barrier also completes the warps' counts.
  uint32_t place = before + block_exclusive_scan<kThreads>(all, shared.warp_totals, total);
#pragma unroll
  for (int w = 0; w < kWarps; w++) {
    const uint32_t count = shared.next[w][own_digit];
    shared.next[w][own_digit] = place;
    place += count;
  }
  __syncthreads();
}

template <bool kFirst>
__global__ void __launch_bounds__(kThreads, 4) move_keys_kernel(PassArguments a) {
  MoveShared& shared = gpu::shared<MoveShared>();
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  find_places<kFirst>(shared, a);
  for (int round = 0; round < kRounds; round++) {
    const int i = position_of(round);
    const int32_t key = i < a.count ? key_at<kFirst>(a, i) : 0;
    const int digit = digit_of(a, key);
    const uint32_t alike = lanes_alike(a, i, digit);
    const uint32_t below = __popc(alike & ((1u << lane) - 1));
    const uint32_t place = shared.next[warp][digit] + below;
    __syncwarp();
    if (i < a.count) {
      a.to.tokens[place] = key;
      a.to.positions[place] = kFirst ? i : a.from.positions[i];
      if (below == 0) shared.next[warp][digit] += __popc(alike);
    }
    __syncwarp();
  }
}

template <bool kFirst>
void run_pass(Operation& op, const PassArguments& a) {
  const dim3 grid(sort_tiles(a.count));
  op.launch(count_digits_kernel<kFirst>, grid, dim3(kThreads), sizeof(CountShared), a);
  op.launch(move_keys_kernel<kFirst>, grid, dim3(kThreads), sizeof(MoveShared), a);
}

}  // namespace

int sort_tiles(int count) { return static_cast<int>((int64_t{count} + kTile - 1) / kTile); }

void sort_tokens(Operation& op, const SortedTokens& sorted, const SortSpace& space,
                 const int32_t* tokens, int count, int vocabulary, IndexCheck check) {
  int passes = 1;
  while (passes < 4 && vocabulary >> (kDigitBits * passes) != 0) passes++;
  // The last pass writes to `sorted`.
  SortedTokens to = passes % 2 == 1 ? sorted : space.other;
  SortedTokens from = passes % 2 == 1 ? space.other : sorted;
  for (int pass = 0; pass < passes; pass++) {
    const PassArguments a = {.to = to,
                             .from = from,
                             .digit_counts = space.digit_counts,
                             .tokens = tokens,
                             .check = check,
                             .count = count,
                             .vocabulary = vocabulary,
                             .shift = kDigitBits * pass};
    if (pass == 0) {
      run_pass<true>(op, a);
    } else {
      run_pass<false>(op, a);
    }
    std::swap(to, from);
  }
}

}  // namespace remoe

// Expert Choice routing (Zhou et al., arXiv:2202.09368): each expert takes the tokens of a group
// that are likeliest to be its own.

#include "moe/router_logits.h"
#include "moe/softmax_row.h"
#include "runtime/operation.h"

namespace remoe {
namespace {

// Tokens are taken in descending order of this rank: bits of floats from 0 on order like the
// floats. NaN, of either sign, comes first, so that a diverged run shows.
__device__ __forceinline__ uint32_t rank_of(float probability) {
  return probability != probability ? ~0u : __float_as_uint(probability);
}

// What an expert takes of a group: all tokens above `rank`, and those of that rank up to
// `position`.
struct Threshold {
  uint32_t rank;
  uint32_t position;

  __device__ __forceinline__ bool takes(float probability, uint32_t at) const {
    const uint32_t other = rank_of(probability);
    return other > rank || (other == rank && at <= position);
  }
};

struct ChoiceArguments {
  float* gates;
  float* probabilities;  // the logits at first
  uint32_t* mask;
  int32_t* counts;
  Threshold* thresholds;  // [groups, E]
  int tokens;
  int experts;
  int group;
  int capacity;

  // Tokens of a group: the last may be shorter.
  __host__ __device__ __forceinline__ int length(int index) const {
    const int rest = tokens - index * group;
    return rest < group ? rest : group;
  }
  // Tokens that each expert takes; of a shorter group, the same share.
  __host__ __device__ __forceinline__ int taken(int index) const {
    return static_cast<int>((static_cast<int64_t>(length(index)) * capacity + group - 1) / group);
  }
  __host__ __device__ __forceinline__ int groups() const { return (tokens - 1) / group + 1; }
};

template <class Row>
__global__ void __launch_bounds__(kRowThreads, 1) softmax_rows_kernel(ChoiceArguments a) {
  const int token = Row::token();
  if (token >= a.tokens) return;
  RowValues<Row> p(a.probabilities + static_cast<size_t>(token) * a.experts);
  p.load(a.experts);
  softmax_in_place(p, a.experts);
  p.store(a.experts);
}

constexpr int kMostThreads = 1024;
// Ranks that a block keeps in shared memory, 64 KiB: those of a whole micro-batch. Of longer groups
// each pass reads the probabilities.
constexpr int kMostStaged = 16384;

struct SelectionShared {
  // Of two rounds in turn: one barrier per round is enough, since a total is written again only
  // after the barrier of the round in between, which all its readers have passed.
  uint32_t warp_counts[2][kMostThreads / kWarp];
  uint32_t ranks[1];  // longer than declared
};

size_t selection_bytes(int length) {
  const size_t more = length <= kMostStaged ? static_cast<size_t>(length) - 1 : 0;
  return sizeof(SelectionShared) + more * sizeof(uint32_t);
}

// The ranks of a group's tokens for the expert of this block.
template <bool kStaged>
class Column {
 public:
  __device__ __forceinline__ Column(const ChoiceArguments& a, SelectionShared& shared, int index)
      : shared_(shared),
        from_(a.probabilities + static_cast<size_t>(index) * a.group * a.experts + blockIdx.y),
        stride_(a.experts),
        length_(a.length(index)),
        round_(0) {
    if constexpr (kStaged) {
      // Each thread reads its own ranks alone.
      for (int i = thread(); i < length_; i += threads()) shared_.ranks[i] = read(i);
    }
  }

  // The tokens for which test(rank, position) holds; all threads take part.
  template <class Test>
  __device__ __forceinline__ uint32_t count(Test&& test) {
    uint32_t own = 0;
    for (int i = thread(); i < length_; i += threads()) {
      const uint32_t rank = kStaged ? shared_.ranks[i] : read(i);
      own += test(rank, static_cast<uint32_t>(i)) ? 1 : 0;
    }
    own = __reduce_add_sync(kFullWarp, own);
    uint32_t(&totals)[kMostThreads / kWarp] = shared_.warp_counts[round_++ % 2];
    if (thread() % kWarp == 0) totals[thread() / kWarp] = own;
    __syncthreads();
    uint32_t total = 0;
    for (int warp = 0; warp < threads() / kWarp; warp++) total += totals[warp];
    return total;
  }

 private:
  static __device__ __forceinline__ int thread() { return static_cast<int>(threadIdx.x); }
  static __device__ __forceinline__ int threads() { return static_cast<int>(blockDim.x); }
  __device__ __forceinline__ uint32_t read(int i) const {
    return rank_of(from_[static_cast<size_t>(i) * stride_]);
  }

  SelectionShared& shared_;
  const float* from_;
  int stride_;
  int length_;
  int round_;
};

// The threshold of one expert and group, bit by bit: the largest rank that enough tokens reach, and
// the position that completes them. 32 counts and the bits of a position, whatever the
// values are.
template <bool kStaged>
__global__ void __launch_bounds__(kMostThreads) select_tokens_kernel(ChoiceArguments a) {
  SelectionShared& shared = gpu::shared<SelectionShared>();
  const int index = static_cast<int>(blockIdx.x);
  const uint32_t taken = static_cast<uint32_t>(a.taken(index));
  Column<kStaged> column(a, shared, index);
  uint32_t rank = 0;
  for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
    const uint32_t trial = rank | bit;
    const uint32_t reached = column.count([=](uint32_t other, uint32_t) { return other >= trial; });
    if (reached >= taken) rank = trial;
  }
  // The largest number of positions that are too few is the position that completes them.
  const uint32_t above = column.count([=](uint32_t other, uint32_t) { return other > rank; });
  uint32_t below = 0;
  for (uint32_t bit = 1u << (31 - __clz(a.length(index))); bit != 0; bit >>= 1) {
    const uint32_t trial = below | bit;
    const uint32_t equal =
        column.count([=](uint32_t other, uint32_t at) { return other == rank && at < trial; });
    if (above + equal < taken) below = trial;
  }
  if (threadIdx.x == 0) {
    a.thresholds[static_cast<size_t>(index) * a.experts + blockIdx.y] = {rank, below};
  }
}

template <class Row>
__global__ void __launch_bounds__(kRowThreads, 1) take_tokens_kernel(ChoiceArguments a) {
  const int token = Row::token();
  if (token >= a.tokens) return;
  const size_t row = static_cast<size_t>(token) * a.experts;
  const int index = token / a.group;
  const uint32_t position = static_cast<uint32_t>(token - index * a.group);
  const Threshold* thresholds = a.thresholds + static_cast<size_t>(index) * a.experts;
  const float* p = a.probabilities + row;
  const auto is_taken = [&](int, int e) { return thresholds[e].takes(p[e], position); };
  write_mask<Row>(a.mask + static_cast<size_t>(token) * mask_words(a.experts), a.experts, is_taken);
  for_each_expert<Row>(a.experts,
                       [&](int i, int e) { a.gates[row + e] = is_taken(i, e) ? p[e] : 0.0f; });
}

// Every expert takes the same number of tokens.
__global__ void __launch_bounds__(kRowThreads)
    fill_counts_kernel(int32_t* counts, int32_t count, int experts) {
  const int expert = static_cast<int>(blockIdx.x) * kRowThreads + static_cast<int>(threadIdx.x);
  if (expert < experts) counts[expert] = count;
}

void select_tokens(Operation& op, const ChoiceArguments& a) {
  const int length = a.length(0);
  const int threads = length < kMostThreads ? (length + kWarp - 1) / kWarp * kWarp : kMostThreads;
  const auto kernel =
      length <= kMostStaged ? select_tokens_kernel<true> : select_tokens_kernel<false>;
  op.launch(kernel, dim3(a.groups(), a.experts), dim3(threads), selection_bytes(length), a);
}

}  // namespace
}  // namespace remoe

int32_t remoe_expert_choice_router_forward(uint64_t context, int32_t dtype, uint64_t gates,
                                           uint64_t probabilities, uint64_t mask, uint64_t counts,
                                           uint64_t x, uint64_t w, int32_t tokens, int32_t hidden,
                                           int32_t experts, int32_t group, int32_t capacity) {
  using namespace remoe;
  return guard(context, "expert_choice_router_forward", [&](Operation& op) {
    const RouterInput input = {dtype, x, w, tokens, hidden, experts};
    require_router_input(input);
    require_size(group, "group");
    require(capacity >= 1 && capacity <= group,
            "capacity is %d, but an expert takes 1 to %d of the %d tokens in a group", capacity,
            group, group);
    ChoiceArguments a = {
        .gates = require_address<float>(gates, "gates"),
        .probabilities = require_address<float>(probabilities, "probabilities"),
        .mask = require_address<uint32_t>(mask, "mask"),
        .counts = require_address<int32_t>(counts, "counts"),
        .thresholds = nullptr,
        .tokens = tokens,
        .experts = experts,
        .group = group,
        .capacity = capacity,
    };
    const Scratch<Threshold> thresholds(op, static_cast<size_t>(a.groups()) * experts);
    a.thresholds = thresholds.data();
    router_logits(op, a.probabilities, input);
    const dim3 block(kRowThreads);
    with_row_shape(experts, [&](auto row) {
      op.launch(softmax_rows_kernel<decltype(row)>, row.grid(tokens), block, 0, a);
    });
    select_tokens(op, a);
    with_row_shape(experts, [&](auto row) {
      op.launch(take_tokens_kernel<decltype(row)>, row.grid(tokens), block, 0, a);
    });
    // All groups but the last are of one length.
    const int last = a.groups() - 1;
    const int32_t count = last * a.taken(0) + a.taken(last);
    op.launch(fill_counts_kernel, dim3((experts - 1) / kRowThreads + 1), block, 0, a.counts, count,
              experts);
  });
}

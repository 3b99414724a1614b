// Attention of new tokens against the keys and values of their predecessors.
//
// Reading the cache is what takes the time. A row's tokens are split into runs of 256, so that one
// long sequence keeps the device busy too: each block computes the softmax of one run of one new
// token for some heads of a group, and another kernel joins the runs in their order. So a token's
// result does not depend on which others came with it. The lengths are on the device, so the grid
// is that of the capacity, and blocks beyond a length end at once.
//
// Sequences whose place is out of range are left alone, and reported.

#include <algorithm>
#include <cmath>

#include "attention/extend_run.h"

namespace remoe::extend {
namespace {

// The sequences of a call, and who hears of places out of range.
struct Sequences {
  const int32_t* lengths;  // [B]
  const int32_t* rows;     // [N], or null
  const int32_t* starts;   // [N + 1], or null
  int count;
  int batch;
  int capacity;
  int tokens;
  IndexCheck starts_check;
  IndexCheck rows_check;
  IndexCheck lengths_check;

  __device__ __forceinline__ int row(int i) const { return rows == nullptr ? i : rows[i]; }
  __device__ __forceinline__ int start(int i) const { return starts == nullptr ? i : starts[i]; }
  // The last sequence that begins at or before a token; some sequence if starts are not in order.
  __device__ __forceinline__ int sequence_of(int token) const {
    int first = 0;
    int end = count;
    while (end - first > 1) {
      const int middle = first + (end - first) / 2;
      if (start(middle) <= token) {
        first = middle;
      } else {
        end = middle;
      }
    }
    return first;
  }
  __device__ __forceinline__ bool is_taken(int sequence) const {
    for (int i = 0; i < sequence && rows != nullptr; i++) {
      if (rows[i] == rows[sequence]) return true;
    }
    return false;
  }
  __device__ __forceinline__ Place place(int token) const {
    constexpr Place kNowhere = {-1, -1};
    const int sequence = sequence_of(token);
    const int first = start(sequence);
    const int end = start(sequence + 1);
    // The ends are checked by their own tokens: those of others in between are in order.
    const bool is_last = sequence == count - 1;
    if (first > token || end <= token || end > tokens || (sequence == 0 && first != 0) ||
        (is_last && end != tokens)) {
      starts_check.report(sequence, first);
      return kNowhere;
    }
    const int at = row(sequence);
    if (at < 0 || at >= batch || is_taken(sequence)) {
      rows_check.report(sequence, at);
      return kNowhere;
    }
    const int length = lengths[at];
    if (length < 0 || length > capacity - (end - first)) {
      lengths_check.report(sequence, length);
      return kNowhere;
    }
    return {at, length + token - first};
  }
};

__global__ void __launch_bounds__(kThreads) place_kernel(Place* places, Sequences sequences) {
  const int token = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (token < sequences.tokens) places[token] = sequences.place(token);
}

// Rotates the new queries and keys in place, and appends keys and values to the cache. One block
// per token: all its heads share the angles.
template <class T>
__global__ void __launch_bounds__(kThreads) append_kernel(ExtendArguments<T> a) {
  const int added = static_cast<int>(blockIdx.x);
  const Place place = a.places[added];
  const int position = place.position;
  if (position < 0) return;
  float2* angles = &gpu::shared<float2>();
  const AttentionSizes& sizes = a.sizes;
  const int half = sizes.head_dim / 2;
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < half; i += kThreads) {
    const double angle = position * pow(a.base, -static_cast<double>(i) / half);
    angles[i] = {static_cast<float>(cos(angle)), static_cast<float>(sin(angle))};
  }
  __syncthreads();
  T* qkv = a.qkv + static_cast<size_t>(added) * sizes.stride;
  T* appended = a.token(place.row, position);
  for (int item = thread; item < (sizes.heads + sizes.groups) * half; item += kThreads) {
    const int head = item / half;
    const int i = item % half;
    T* x = qkv + static_cast<size_t>(head) * sizes.head_dim + i;
    const float2 turn = angles[i];
    const float low = to_float(x[0]);
    const float high = to_float(x[half]);
    const T turned_low = to_element<T>(low * turn.x - high * turn.y);
    const T turned_high = to_element<T>(high * turn.x + low * turn.y);
    x[0] = turned_low;
    x[half] = turned_high;
    if (head < sizes.heads) continue;
    T* key = appended + static_cast<size_t>(head - sizes.heads) * sizes.head_dim + i;
    key[0] = turned_low;
    key[half] = turned_high;
  }
  const int values = sizes.groups * sizes.head_dim;
  const T* value = qkv + static_cast<size_t>(sizes.heads + sizes.groups) * sizes.head_dim;
  for (int i = thread; i < values; i += kThreads) appended[values + i] = value[i];
}

// Joins the runs of a head: one block per head of a token.
template <class T>
__global__ void __launch_bounds__(kThreads) join_kernel(ExtendArguments<T> a) {
  const AttentionSizes& sizes = a.sizes;
  const int dim = sizes.head_dim;
  const int added = static_cast<int>(blockIdx.x) / sizes.heads;
  const int head = static_cast<int>(blockIdx.x) % sizes.heads;
  const int position = a.places[added].position;
  if (position < 0) return;
  const int runs = position / kRun + 1;
  float largest = -INFINITY;
  for (int run = 0; run < runs; run++) {
    largest = fmaxf(largest, a.partial_of(added, head, run)[dim]);
  }
  for (int d = static_cast<int>(threadIdx.x); d < dim; d += kThreads) {
    float sum = 0.0f;
    float total = 0.0f;
    for (int run = 0; run < runs; run++) {
      const float* from = a.partial_of(added, head, run);
      const float factor = expf(from[dim] - largest);
      sum += from[d] * factor;
      total += from[dim + 1] * factor;
    }
    a.out[(static_cast<size_t>(added) * sizes.heads + head) * dim + d] = to_element<T>(sum / total);
  }
}

[[noreturn]] void fail_at_start(int32_t start, int32_t sequence, int32_t tokens) {
  fail(REMOE_OUT_OF_RANGE, "sequence %d starts at %d, but starts must divide %d tokens", sequence,
       start, tokens);
}
[[noreturn]] void fail_at_row(int32_t row, int32_t sequence, int32_t batch) {
  fail(REMOE_OUT_OF_RANGE, "sequence %d has row %d, but rows must be different ones of %d",
       sequence, row, batch);
}
[[noreturn]] void fail_at_length(int32_t length, int32_t sequence, int32_t capacity) {
  fail(REMOE_OUT_OF_RANGE, "sequence %d adds to %d tokens, but the cache has room for %d", sequence,
       length, capacity);
}

// Heads per block: a team's queries take kHeads * kSpans * kElements registers of a lane.
template <int kHeads, int kSpans, class T>
void launch_runs(Operation& op, const ExtendArguments<T>& a) {
  const AttentionSizes& sizes = a.sizes;
  const uint64_t passes = (sizes.heads_of_group() + kHeads - 1) / kHeads;
  const uint64_t blocks = passes * static_cast<uint64_t>(sizes.groups) *
                          static_cast<uint64_t>(sizes.batch) * static_cast<uint64_t>(a.runs);
  require(blocks <= 0x7fffffffu, "%llu runs of a cache are more than a grid has blocks",
          static_cast<unsigned long long>(blocks));
  const float scale = 1.0f / std::sqrt(static_cast<float>(sizes.head_dim));
  op.launch(run_kernel<kHeads, kSpans, T>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads),
            sizeof(RunShared<kHeads>), a, scale);
}

// Attends for the tokens of `a`, with room for their runs.
template <class T>
void attend(Operation& op, const ExtendArguments<T>& a) {
  const AttentionSizes& sizes = a.sizes;
  if (sizes.head_dim <= kSpan) {
    launch_runs<4, 1>(op, a);
  } else if (sizes.head_dim <= 2 * kSpan) {
    launch_runs<4, 2>(op, a);
  } else {
    launch_runs<2, 4>(op, a);
  }
  const size_t heads = static_cast<size_t>(sizes.batch) * sizes.heads;
  op.launch(join_kernel<T>, dim3(static_cast<unsigned>(heads)), dim3(kThreads), 0, a);
}

// Floats of the runs that are computed before they are joined: 64 MiB.
constexpr size_t kMostPartial = size_t{16} << 20;

template <class T>
void run(Operation& op, ExtendArguments<T> a, Sequences sequences) {
  const AttentionSizes& sizes = a.sizes;
  const uint64_t addresses =
      reinterpret_cast<uint64_t>(a.qkv) | reinterpret_cast<uint64_t>(a.cache);
  a.runs = (a.capacity + kRun - 1) / kRun;
  a.wide = has_wide_heads(sizes, 16 / sizeof(T), sizeof(T), addresses);
  const int tokens = sizes.batch;
  const Scratch<Place> places(op, tokens);
  a.places = places.data();
  sequences.starts_check = op.index_check(fail_at_start, sequences.tokens);
  sequences.rows_check = op.index_check(fail_at_row, sequences.batch);
  sequences.lengths_check = op.index_check(fail_at_length, sequences.capacity);
  op.launch(place_kernel, dim3((tokens + kThreads - 1) / kThreads), dim3(kThreads), 0,
            places.data(), sequences);
  op.launch(append_kernel<T>, dim3(tokens), dim3(kThreads),
            sizeof(float2) * static_cast<size_t>(sizes.head_dim / 2), a);
  const size_t of_token = static_cast<size_t>(sizes.heads) * a.runs * (sizes.head_dim + size_t{2});
  const size_t most = gpu::kEmulated ? 64 : kMostPartial / of_token;
  const int together = static_cast<int>(std::clamp<size_t>(most, 1, tokens));
  const Scratch<float> partial(op, of_token * together);
  a.partial = partial.data();
  for (int first = 0; first < tokens; first += together) {
    attend(op, a.from(first, std::min(together, tokens - first)));
  }
}

}  // namespace
}  // namespace remoe::extend

int32_t remoe_attention_extend(uint64_t context, int32_t dtype, uint64_t out, uint64_t qkv,
                               uint64_t cache, uint64_t lengths, uint64_t rows, uint64_t starts,
                               int32_t tokens, int32_t sequences, int32_t batch, int32_t capacity,
                               int32_t heads, int32_t groups, int32_t head_dim, int32_t stride,
                               double base) {
  using namespace remoe;
  return guard(context, "attention_extend", [&](Operation& op) {
    const AttentionSizes sizes = {tokens, 1, heads, groups, head_dim, stride};
    require_size(tokens, "tokens");
    require_size(sequences, "sequences");
    require_size(batch, "batch");
    require_size(capacity, "capacity");
    require_attention(sizes);
    require_pairs(head_dim, base);
    const int64_t used = (heads + 2 * int64_t{groups}) * head_dim;
    require(used <= stride, "stride is %d, but queries, keys and values need %lld elements per row",
            stride, static_cast<long long>(used));
    require(sequences <= tokens && sequences <= batch,
            "sequences is %d, but there are %d tokens and %d rows", sequences, tokens, batch);
    require_supported_head(head_dim);
    const extend::Sequences all = {.lengths = require_address<const int32_t>(lengths, "lengths"),
                                   .rows = optional_address<const int32_t>(rows, "rows"),
                                   .starts = optional_address<const int32_t>(starts, "starts"),
                                   .count = sequences,
                                   .batch = batch,
                                   .capacity = capacity,
                                   .tokens = tokens,
                                   .starts_check = {},
                                   .rows_check = {},
                                   .lengths_check = {}};
    require(all.starts != nullptr || sequences == tokens,
            "sequences is %d without starts, but there are %d tokens", sequences, tokens);
    with_activations(dtype, [&](auto element) {
      using T = decltype(element);
      extend::run(op,
                  extend::ExtendArguments<T>{.out = require_address<T>(out, "out"),
                                             .qkv = require_address<T>(qkv, "qkv"),
                                             .cache = require_address<T>(cache, "cache"),
                                             .partial = nullptr,
                                             .places = nullptr,
                                             .sizes = sizes,
                                             .capacity = capacity,
                                             .runs = 0,
                                             .base = base,
                                             .wide = false},
                  all);
    });
  });
}

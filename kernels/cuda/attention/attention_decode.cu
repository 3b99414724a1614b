// Attention of one new token per sequence against the keys and values of its predecessors.
//
// Reading the cache is what takes the time. A sequence's tokens are split into runs of 256, so that
// one long sequence keeps the device busy too: each block computes the softmax of one run for some
// heads of a group, and another kernel joins the runs in their order. The lengths are on the
// device, so the grid is that of the capacity, and blocks beyond a length end at once.
//
// Sequences whose length is out of range are left alone, and reported.

#include <cmath>

#include "attention/decode_run.h"

namespace remoe::decode {
namespace {

// Rotates the new queries and keys in place, and appends keys and values to the cache. One block
// per sequence: all its heads share the angles.
template <class T>
__global__ void __launch_bounds__(kThreads) append_kernel(DecodeArguments<T> a, IndexCheck check) {
  const int batch = static_cast<int>(blockIdx.x);
  const int position = a.position(batch);
  if (position < 0) {
    if (threadIdx.x == 0) check.report(batch, a.lengths[batch]);
    return;
  }
  float2* angles = &gpu::shared<float2>();
  const AttentionSizes& sizes = a.sizes;
  const int half = sizes.head_dim / 2;
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < half; i += kThreads) {
    const double angle = position * pow(a.base, -static_cast<double>(i) / half);
    angles[i] = {static_cast<float>(cos(angle)), static_cast<float>(sin(angle))};
  }
  __syncthreads();
  T* qkv = a.qkv + static_cast<size_t>(batch) * sizes.stride;
  T* appended = a.token(batch, position);
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

// Joins the runs of a head: one block per head of a sequence.
template <class T>
__global__ void __launch_bounds__(kThreads) join_kernel(DecodeArguments<T> a) {
  const AttentionSizes& sizes = a.sizes;
  const int dim = sizes.head_dim;
  const int batch = static_cast<int>(blockIdx.x) / sizes.heads;
  const int head = static_cast<int>(blockIdx.x) % sizes.heads;
  const int position = a.position(batch);
  if (position < 0) return;
  const int runs = position / kRun + 1;
  float largest = -INFINITY;
  for (int run = 0; run < runs; run++) {
    largest = fmaxf(largest, a.partial_of(batch, head, run)[dim]);
  }
  for (int d = static_cast<int>(threadIdx.x); d < dim; d += kThreads) {
    float sum = 0.0f;
    float total = 0.0f;
    for (int run = 0; run < runs; run++) {
      const float* from = a.partial_of(batch, head, run);
      const float factor = expf(from[dim] - largest);
      sum += from[d] * factor;
      total += from[dim + 1] * factor;
    }
    a.out[(static_cast<size_t>(batch) * sizes.heads + head) * dim + d] = to_element<T>(sum / total);
  }
}

[[noreturn]] void fail_at_length(int32_t length, int32_t sequence, int32_t capacity) {
  fail(REMOE_OUT_OF_RANGE,
       "sequence %d has %d tokens, but the cache has room for %d including the new one", sequence,
       length, capacity);
}

// Heads per block: a team's queries take kHeads * kSpans * kElements registers of a lane.
template <int kHeads, int kSpans, class T>
void launch_runs(Operation& op, const DecodeArguments<T>& a) {
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

template <class T>
void run(Operation& op, DecodeArguments<T> a) {
  const IndexCheck check = op.index_check(fail_at_length, a.capacity);
  const AttentionSizes& sizes = a.sizes;
  const size_t heads = static_cast<size_t>(sizes.batch) * sizes.heads;
  const uint64_t addresses =
      reinterpret_cast<uint64_t>(a.qkv) | reinterpret_cast<uint64_t>(a.cache);
  a.runs = (a.capacity + kRun - 1) / kRun;
  a.wide = has_wide_heads(sizes, 16 / sizeof(T), sizeof(T), addresses);
  const Scratch<float> partial(op, heads * a.runs * (static_cast<size_t>(sizes.head_dim) + 2));
  a.partial = partial.data();
  op.launch(append_kernel<T>, dim3(sizes.batch), dim3(kThreads),
            sizeof(float2) * static_cast<size_t>(sizes.head_dim / 2), a, check);
  if (sizes.head_dim <= kSpan) {
    launch_runs<4, 1>(op, a);
  } else if (sizes.head_dim <= 2 * kSpan) {
    launch_runs<4, 2>(op, a);
  } else {
    launch_runs<2, 4>(op, a);
  }
  op.launch(join_kernel<T>, dim3(static_cast<unsigned>(heads)), dim3(kThreads), 0, a);
}

}  // namespace
}  // namespace remoe::decode

int32_t remoe_attention_decode(uint64_t context, int32_t dtype, uint64_t out, uint64_t qkv,
                               uint64_t cache, uint64_t lengths, int32_t batch, int32_t capacity,
                               int32_t heads, int32_t groups, int32_t head_dim, int32_t stride,
                               double base) {
  using namespace remoe;
  using decode::DecodeArguments;
  return guard(context, "attention_decode", [&](Operation& op) {
    const AttentionSizes sizes = {batch, 1, heads, groups, head_dim, stride};
    require_size(capacity, "capacity");
    require_attention(sizes);
    require_pairs(head_dim, base);
    const int64_t used = (heads + 2 * int64_t{groups}) * head_dim;
    require(used <= stride, "stride is %d, but queries, keys and values need %lld elements per row",
            stride, static_cast<long long>(used));
    require_supported_head(head_dim);
    with_activations(dtype, [&](auto element) {
      using T = decltype(element);
      decode::run(op,
                  DecodeArguments<T>{.out = require_address<T>(out, "out"),
                                     .qkv = require_address<T>(qkv, "qkv"),
                                     .cache = require_address<T>(cache, "cache"),
                                     .partial = nullptr,
                                     .lengths = require_address<const int32_t>(lengths, "lengths"),
                                     .sizes = sizes,
                                     .capacity = capacity,
                                     .runs = 0,
                                     .base = base,
                                     .wide = false});
    });
  });
}

// Causal grouped-query attention: softmax(Q K^T / sqrt(head_dim)) V, tile by tile, with a running
// maximum m and sum l per query. A tile with a larger maximum m' rescales the sums so far by exp(m
// - m'), so only one tile of scores is ever held. Everything inside is fp32.

#include <cmath>
#include <type_traits>

#include "attention/attention_paths.h"
#include "attention/attention_tile.h"

namespace remoe {
namespace {

struct ForwardShared {
  AttentionTile a, b;
};

// A thread's rows of the softmax: the 16 threads of a row hold the same values.
struct RunningSoftmax {
  float largest[kSide];
  float total[kSide];

  // Turns scores into exp(s - m), with m the largest so far, and adds them to the sums. `factor`
  // receives what rescales earlier sums.
  __device__ __forceinline__ void add(TileSum& scores, float (&factor)[kSide]) {
#pragma unroll
    for (int i = 0; i < kSide; i++) {
      float high = largest[i];
#pragma unroll
      for (int j = 0; j < kSide; j++) high = fmaxf(high, scores[i][j]);
#pragma unroll
      for (int step = 1; step < kColumns; step *= 2) {
        high = fmaxf(high, __shfl_xor_sync(kFullWarp, high, step));
      }
      float sum = 0.0f;
#pragma unroll
      for (int j = 0; j < kSide; j++) {
        scores[i][j] = expf(scores[i][j] - high);
        sum += scores[i][j];
      }
#pragma unroll
      for (int step = 1; step < kColumns; step *= 2) {
        sum += __shfl_xor_sync(kFullWarp, sum, step);
      }
      factor[i] = expf(largest[i] - high);
      largest[i] = high;
      total[i] = total[i] * factor[i] + sum;
    }
  }
};

template <int kChunks, class T>
__global__ void __launch_bounds__(kTileThreads, kChunks == 4 ? 1 : 2)
    attention_kernel(ForwardCall<T> call, float scale, bool wide) {
  ForwardShared& shared = gpu::shared<ForwardShared>();
  const AttentionSizes& sizes = call.sizes;
  const int tiles = (sizes.sequence + kTile - 1) / kTile;
  const int heads = sizes.heads * sizes.batch;
  // The longest rows of tiles start first, so that short ones fill the end.
  const int tile = tiles - 1 - static_cast<int>(blockIdx.x) / heads;
  const int batch = static_cast<int>(blockIdx.x) % heads / sizes.heads;
  const int head = static_cast<int>(blockIdx.x) % sizes.heads;
  const int group = head / sizes.heads_of_group();
  const HeadRows<T> queries = rows_of(call.q, sizes, sizes.stride, batch, tile, head, wide);
  const TilePlace own;
  RunningSoftmax softmax;
  TileSum out[kChunks] = {};
#pragma unroll
  for (int i = 0; i < kSide; i++) {
    softmax.largest[i] = -INFINITY;
    softmax.total[i] = 0.0f;
  }
  for (int key = 0; key <= tile; key++) {
    TileSum scores = {};
    float factor[kSide];
    add_scores(scores, shared.a, shared.b, queries, scale,
               rows_of(call.k, sizes, sizes.stride, batch, key, group, wide));
    // Keys beyond the sequence lie in the diagonal tile, where only queries beyond it see them.
    if (key == tile) hide_later_keys(scores);
    softmax.add(scores, factor);
    store_columns(shared.a, scores);
#pragma unroll
    for (int chunk = 0; chunk < kChunks; chunk++) {
#pragma unroll
      for (int i = 0; i < kSide; i++) {
#pragma unroll
        for (int j = 0; j < kSide; j++) out[chunk][i][j] *= factor[i];
      }
    }
    add_weighted<kChunks>(out, shared.a, shared.b,
                          rows_of(call.v, sizes, sizes.stride, batch, key, group, wide));
  }
#pragma unroll
  for (int i = 0; i < kSide; i++) {
    if (own.row + i >= queries.count) continue;
    const size_t row = static_cast<size_t>(batch) * sizes.sequence + tile * kTile + own.row + i;
    const float inverse = 1.0f / softmax.total[i];
    T* to = call.out + row * sizes.out_stride() + static_cast<size_t>(head) * sizes.head_dim;
#pragma unroll
    for (int chunk = 0; chunk < kChunks; chunk++) {
      write_four(to, out[chunk][i], inverse, chunk * kTile + own.column, sizes.head_dim, wide);
    }
    if (call.normalizer != nullptr && own.column == 0) {
      float* pair = call.normalizer + 2 * (row * sizes.heads + head);
      pair[0] = softmax.largest[i];
      pair[1] = softmax.total[i];
    }
  }
}

template <class T>
void attend(Operation& op, const ForwardCall<T>& call) {
  const AttentionSizes& sizes = call.sizes;
  const uint64_t addresses =
      reinterpret_cast<uint64_t>(call.out) | reinterpret_cast<uint64_t>(call.q) |
      reinterpret_cast<uint64_t>(call.k) | reinterpret_cast<uint64_t>(call.v);
  if constexpr (std::is_same_v<T, Bf16>) {
    if (fits_flash(op, sizes, addresses)) return flash_forward(op, call);
  }
  const bool wide = has_wide_heads(sizes, 4, sizeof(T), addresses);
  const float scale = 1.0f / std::sqrt(static_cast<float>(sizes.head_dim));
  with_chunks(sizes.head_dim, [&](auto chunks) {
    op.launch(attention_kernel<chunks.value, T>, tile_grid(sizes, sizes.heads), dim3(kTileThreads),
              sizeof(ForwardShared), call, scale, wide);
  });
}

}  // namespace
}  // namespace remoe

int32_t remoe_attention_forward(uint64_t context, int32_t dtype, uint64_t out, uint64_t normalizer,
                                uint64_t q, uint64_t k, uint64_t v, int32_t batch, int32_t sequence,
                                int32_t heads, int32_t groups, int32_t head_dim, int32_t stride) {
  using namespace remoe;
  return guard(context, "attention_forward", [&](Operation& op) {
    const AttentionSizes sizes = {batch, sequence, heads, groups, head_dim, stride};
    require_attention(sizes);
    require_supported_head(head_dim);
    with_activations(dtype, [&](auto element) {
      using T = decltype(element);
      attend(op, ForwardCall<T>{.out = require_address<T>(out, "out"),
                                .normalizer = optional_address<float>(normalizer, "normalizer"),
                                .q = require_address<const T>(q, "q"),
                                .k = require_address<const T>(k, "k"),
                                .v = require_address<const T>(v, "v"),
                                .sizes = sizes});
    });
  });
}

// Gradient of causal grouped-query attention. With s = (scale q) k, p = exp(s - m) / l, o = P V,
// and dO the gradient of o:
//
//   dV = P^T dO
//   dP = dO V^T
//   dS = P * (dP - rowsum(P * dP))       softmax's gradient
//   dQ = scale dS K,  dK = dS^T (scale Q)
//
// and rowsum(P * dP)_i = sum_j p_ij <dO_i, v_j> = <dO_i, sum_j p_ij v_j> = <dO_i, o_i>, which needs
// no pass over the keys. P is recomputed, tile by tile, from the saved m and l.
//
// One kernel holds a tile of keys while the queries of its group's heads pass, in the order of the
// heads and then of the queries, for dK and dV; one holds a tile of queries while keys pass, for
// dQ. The scores are computed twice, but nothing is added by atomics.

#include <cmath>
#include <type_traits>

#include "attention/attention_paths.h"
#include "attention/attention_tile.h"

namespace remoe {
namespace {

struct GradientShared {
  AttentionTile a, b, weights;
};

constexpr int kWarps = kTileThreads / kWarp;

// <dO, o> of every query of every head [B*S, heads]: one warp each.
template <class T>
__global__ void __launch_bounds__(kTileThreads)
    projection_kernel(float* projection, const T* dout, const T* out, size_t count, int head_dim) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const size_t i = static_cast<size_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  float sum = 0.0f;
  for (int d = lane; i < count && d < head_dim; d += kWarp) {
    const size_t at = i * head_dim + d;
    sum += to_float(dout[at]) * to_float(out[at]);
  }
  sum = warp_sum(sum);
  if (lane == 0 && i < count) projection[i] = sum;
}

template <class T>
struct GradientArguments {
  GradientCall<T> call;
  const float* projection;
  float scale;
  bool wide;

  __device__ __forceinline__ HeadRows<T> inputs(const T* data, int batch, int tile,
                                                int head) const {
    return rows_of(data, call.sizes, call.sizes.stride, batch, tile, head, wide);
  }
  __device__ __forceinline__ HeadRows<T> outputs(const T* data, int batch, int tile,
                                                 int head) const {
    return rows_of(data, call.sizes, call.sizes.out_stride(), batch, tile, head, wide);
  }
};

// P and dS of a tile of queries against one of keys. Rows beyond the sequence are zero.
template <class T>
__device__ __forceinline__ void softmax_gradient(TileSum& p, TileSum& ds, GradientShared& shared,
                                                 const GradientArguments<T>& a, int batch, int head,
                                                 int query, int key) {
  const AttentionSizes& sizes = a.call.sizes;
  const int group = head / sizes.heads_of_group();
  const HeadRows<T> queries = a.inputs(a.call.q, batch, query, head);
  add_scores(p, shared.a, shared.b, queries, a.scale, a.inputs(a.call.k, batch, key, group));
  add_scores(ds, shared.a, shared.b, a.outputs(a.call.dout, batch, query, head), 1.0f,
             a.inputs(a.call.v, batch, key, group));
  if (query == key) hide_later_keys(p);
  const TilePlace own;
#pragma unroll
  for (int i = 0; i < kSide; i++) {
    const bool inside = own.row + i < queries.count;
    const size_t row = static_cast<size_t>(batch) * sizes.sequence + query * kTile + own.row + i;
    const size_t at = row * sizes.heads + head;
    const float largest = inside ? a.call.normalizer[2 * at] : 0.0f;
    const float inverse = inside ? 1.0f / a.call.normalizer[2 * at + 1] : 0.0f;
    const float projection = inside ? a.projection[at] : 0.0f;
#pragma unroll
    for (int j = 0; j < kSide; j++) {
      p[i][j] = expf(p[i][j] - largest) * inverse;
      ds[i][j] = p[i][j] * (ds[i][j] - projection);
    }
  }
}

// Writes this thread's part of a tile of gradients, laid out as the inputs are.
template <int kChunks, class T>
__device__ __forceinline__ void write_gradient(T* to, const TileSum (&sums)[kChunks], float scale,
                                               const GradientArguments<T>& a, int batch, int tile,
                                               int head) {
  const AttentionSizes& sizes = a.call.sizes;
  const TilePlace own;
#pragma unroll
  for (int i = 0; i < kSide; i++) {
    const int position = tile * kTile + own.row + i;
    if (position >= sizes.sequence) continue;
    const size_t row = static_cast<size_t>(batch) * sizes.sequence + position;
    T* of_row = to + row * sizes.stride + static_cast<size_t>(head) * sizes.head_dim;
#pragma unroll
    for (int chunk = 0; chunk < kChunks; chunk++) {
      write_four(of_row, sums[chunk][i], scale, chunk * kTile + own.column, sizes.head_dim, a.wide);
    }
  }
}

template <int kChunks, class T>
__global__ void __launch_bounds__(kTileThreads, kChunks == 1 ? 2 : 1)
    key_gradient_kernel(GradientArguments<T> a) {
  GradientShared& shared = gpu::shared<GradientShared>();
  const AttentionSizes& sizes = a.call.sizes;
  const int tiles = (sizes.sequence + kTile - 1) / kTile;
  const int groups = sizes.groups * sizes.batch;
  // The first keys are seen by the most queries, so the longest tiles start first.
  const int tile = static_cast<int>(blockIdx.x) / groups;
  const int batch = static_cast<int>(blockIdx.x) % groups / sizes.groups;
  const int group = static_cast<int>(blockIdx.x) % sizes.groups;
  TileSum dk[kChunks] = {};
  TileSum dv[kChunks] = {};
  for (int i = 0; i < sizes.heads_of_group(); i++) {
    const int head = group * sizes.heads_of_group() + i;
    for (int query = tile; query < tiles; query++) {
      TileSum p = {};
      TileSum ds = {};
      softmax_gradient(p, ds, shared, a, batch, head, query, tile);
      store_rows(shared.weights, p);
      add_weighted<kChunks>(dv, shared.weights, shared.b,
                            a.outputs(a.call.dout, batch, query, head));
      store_rows(shared.weights, ds);
      add_weighted<kChunks>(dk, shared.weights, shared.b, a.inputs(a.call.q, batch, query, head));
    }
  }
  write_gradient<kChunks>(a.call.dk, dk, a.scale, a, batch, tile, group);
  write_gradient<kChunks>(a.call.dv, dv, 1.0f, a, batch, tile, group);
}

template <int kChunks, class T>
__global__ void __launch_bounds__(kTileThreads, kChunks == 1 ? 2 : 1)
    query_gradient_kernel(GradientArguments<T> a) {
  GradientShared& shared = gpu::shared<GradientShared>();
  const AttentionSizes& sizes = a.call.sizes;
  const int tiles = (sizes.sequence + kTile - 1) / kTile;
  const int heads = sizes.heads * sizes.batch;
  const int tile = tiles - 1 - static_cast<int>(blockIdx.x) / heads;
  const int batch = static_cast<int>(blockIdx.x) % heads / sizes.heads;
  const int head = static_cast<int>(blockIdx.x) % sizes.heads;
  TileSum dq[kChunks] = {};
  for (int key = 0; key <= tile; key++) {
    TileSum p = {};
    TileSum ds = {};
    softmax_gradient(p, ds, shared, a, batch, head, tile, key);
    store_columns(shared.weights, ds);
    add_weighted<kChunks>(dq, shared.weights, shared.b,
                          a.inputs(a.call.k, batch, key, head / sizes.heads_of_group()));
  }
  write_gradient<kChunks>(a.call.dq, dq, a.scale, a, batch, tile, head);
}

template <class T>
void differentiate(Operation& op, const GradientCall<T>& call) {
  const AttentionSizes& sizes = call.sizes;
  const auto address = [](const T* data) { return reinterpret_cast<uint64_t>(data); };
  const uint64_t addresses = address(call.dq) | address(call.dk) | address(call.dv) |
                             address(call.dout) | address(call.q) | address(call.k) |
                             address(call.v);
  if constexpr (std::is_same_v<T, Bf16>) {
    if (fits_flash(op, sizes, addresses | address(call.out))) return flash_gradient(op, call);
  }
  const size_t count = static_cast<size_t>(sizes.batch) * sizes.sequence * sizes.heads;
  const Scratch<float> projection(op, count);
  op.launch(projection_kernel<T>, dim3((count + kWarps - 1) / kWarps), dim3(kTileThreads), 0,
            projection.data(), call.dout, call.out, count, sizes.head_dim);
  const GradientArguments<T> a = {
      .call = call,
      .projection = projection.data(),
      .scale = 1.0f / std::sqrt(static_cast<float>(sizes.head_dim)),
      .wide = has_wide_heads(sizes, 4, sizeof(T), addresses),
  };
  with_chunks(sizes.head_dim, [&](auto chunks) {
    op.launch(key_gradient_kernel<chunks.value, T>, tile_grid(sizes, sizes.groups),
              dim3(kTileThreads), sizeof(GradientShared), a);
    op.launch(query_gradient_kernel<chunks.value, T>, tile_grid(sizes, sizes.heads),
              dim3(kTileThreads), sizeof(GradientShared), a);
  });
}

}  // namespace
}  // namespace remoe

int32_t remoe_attention_gradient(uint64_t context, int32_t dtype, uint64_t dq, uint64_t dk,
                                 uint64_t dv, uint64_t dout, uint64_t out, uint64_t normalizer,
                                 uint64_t q, uint64_t k, uint64_t v, int32_t batch,
                                 int32_t sequence, int32_t heads, int32_t groups, int32_t head_dim,
                                 int32_t stride) {
  using namespace remoe;
  return guard(context, "attention_gradient", [&](Operation& op) {
    const AttentionSizes sizes = {batch, sequence, heads, groups, head_dim, stride};
    require_attention(sizes);
    require_supported_head(head_dim);
    with_activations(dtype, [&](auto element) {
      using T = decltype(element);
      differentiate(
          op, GradientCall<T>{.dq = require_address<T>(dq, "dq"),
                              .dk = require_address<T>(dk, "dk"),
                              .dv = require_address<T>(dv, "dv"),
                              .dout = require_address<const T>(dout, "dout"),
                              .out = require_address<const T>(out, "out"),
                              .normalizer = require_address<const float>(normalizer, "normalizer"),
                              .q = require_address<const T>(q, "q"),
                              .k = require_address<const T>(k, "k"),
                              .v = require_address<const T>(v, "v"),
                              .sizes = sizes});
    });
  });
}

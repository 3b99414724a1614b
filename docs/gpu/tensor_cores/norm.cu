// RMSNorm, y = x / rms(x) w, in bf16 with fp32 weights. A warp takes a row at a time and keeps it
// in registers. The weights' gradient is summed per warp over its rows and then over the warps, in
// one order.
#include <algorithm>

#include "launch.h"

namespace remoe {
namespace {

constexpr int kStep = kWarp * 8;  // elements of a row that a warp takes at once
constexpr int kWarps = kSmall / kWarp;

struct NormArguments {
  const bf16* x;         // [rows, columns]
  const float* weight;   // [columns]
  float* inverse;        // [rows]: 1 / rms
  bf16* y;               // forward
  const bf16* gradient;  // of y
  const bf16* add;       // to dx, or null
  bf16* dx;
  float* partial;  // [warps of the grid, columns]
  int rows;
  int columns;
  float epsilon;
};

__device__ __forceinline__ void unpack(float (&to)[8], uint4 v) {
  const uint32_t word[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    to[2 * i] = low_half(word[i]);
    to[2 * i + 1] = high_half(word[i]);
  }
}

__device__ __forceinline__ void store_8(bf16* to, const float (&v)[8]) {
  const uint32_t word[4] = {pack(v[0], v[1]), pack(v[2], v[3]), pack(v[4], v[5]), pack(v[6], v[7])};
  store_16(to, word);
}

__device__ __forceinline__ float sum_of_warp(float v) {
#pragma unroll
  for (int d = 1; d < kWarp; d *= 2) v += shuffle_xor(v, d);
  return v;
}

template <int kSteps>
struct NormRow {
  uint4 value[kSteps];

  __device__ __forceinline__ void load(const bf16* row, int columns, int lane) {
#pragma unroll
    for (int i = 0; i < kSteps; i++) {
      const int c = i * kStep + lane * 8;
      value[i] = c < columns ? load_16(row + c) : make_uint4(0, 0, 0, 0);
    }
  }
};

// A lane's weights, the same for every row.
template <int kSteps>
struct NormWeights {
  float4 low[kSteps], high[kSteps];

  __device__ __forceinline__ NormWeights(const float* weight, int columns, int lane) {
#pragma unroll
    for (int i = 0; i < kSteps; i++) {
      const int c = i * kStep + lane * 8;
      low[i] = high[i] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
      if (c >= columns) continue;
      low[i] = stream_in(weight + c);
      high[i] = stream_in(weight + c + 4);
    }
  }

  __device__ __forceinline__ void take(float (&to)[8], int i) const {
    to[0] = low[i].x;
    to[1] = low[i].y;
    to[2] = low[i].z;
    to[3] = low[i].w;
    to[4] = high[i].x;
    to[5] = high[i].y;
    to[6] = high[i].z;
    to[7] = high[i].w;
  }
};

template <int kSteps>
__global__ void __launch_bounds__(kSmall) norm_forward(NormArguments a) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int stride = static_cast<int>(gridDim.x) * kWarps;
  const NormWeights<kSteps> weights(a.weight, a.columns, lane);
  for (int row = global_thread() / kWarp; row < a.rows; row += stride) {
    const size_t start = static_cast<size_t>(row) * a.columns;
    NormRow<kSteps> x;
    x.load(a.x + start, a.columns, lane);
    float squares = 0.0f;
#pragma unroll
    for (int i = 0; i < kSteps; i++) {
      float v[8];
      unpack(v, x.value[i]);
#pragma unroll
      for (int k = 0; k < 8; k++) squares += v[k] * v[k];
    }
    const float mean = sum_of_warp(squares) / static_cast<float>(a.columns);
    const float inverse = 1.0f / sqrtf(mean + a.epsilon);
    if (lane == 0) a.inverse[row] = inverse;
#pragma unroll
    for (int i = 0; i < kSteps; i++) {
      const int c = i * kStep + lane * 8;
      if (c >= a.columns) continue;
      float v[8], w[8];
      unpack(v, x.value[i]);
      weights.take(w, i);
#pragma unroll
      for (int k = 0; k < 8; k++) v[k] *= inverse * w[k];
      store_8(a.y + start + c, v);
    }
  }
}

// With n = x / rms: dx = (w dy - n <w dy, n> / columns) / rms, dw = dy n over the rows.
template <int kSteps>
__global__ void __launch_bounds__(kSmall) norm_backward(NormArguments a) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = global_thread() / kWarp;
  const int stride = static_cast<int>(gridDim.x) * kWarps;
  const NormWeights<kSteps> weights(a.weight, a.columns, lane);
  float dw[kSteps][8] = {};
  for (int row = warp; row < a.rows; row += stride) {
    const size_t start = static_cast<size_t>(row) * a.columns;
    NormRow<kSteps> x, gradient;
    x.load(a.x + start, a.columns, lane);
    gradient.load(a.gradient + start, a.columns, lane);
    const float inverse = a.inverse[row];
    float dot = 0.0f;
#pragma unroll
    for (int i = 0; i < kSteps; i++) {
      const int c = i * kStep + lane * 8;
      if (c >= a.columns) continue;
      float v[8], g[8], w[8];
      unpack(v, x.value[i]);
      unpack(g, gradient.value[i]);
      weights.take(w, i);
#pragma unroll
      for (int k = 0; k < 8; k++) {
        const float n = v[k] * inverse;
        dot += g[k] * w[k] * n;
        dw[i][k] += g[k] * n;
      }
    }
    const float mean = sum_of_warp(dot) / static_cast<float>(a.columns);
#pragma unroll
    for (int i = 0; i < kSteps; i++) {
      const int c = i * kStep + lane * 8;
      if (c >= a.columns) continue;
      float v[8], g[8], w[8], more[8] = {};
      unpack(v, x.value[i]);
      unpack(g, gradient.value[i]);
      weights.take(w, i);
      if (a.add != nullptr) unpack(more, load_16(a.add + start + c));
#pragma unroll
      for (int k = 0; k < 8; k++) {
        v[k] = (g[k] * w[k] - v[k] * inverse * mean) * inverse + more[k];
      }
      store_8(a.dx + start + c, v);
    }
  }
#pragma unroll
  for (int i = 0; i < kSteps; i++) {
    const int c = i * kStep + lane * 8;
    if (c >= a.columns) continue;
    float* to = a.partial + static_cast<size_t>(warp) * a.columns + c;
    stream_out(to, make_float4(dw[i][0], dw[i][1], dw[i][2], dw[i][3]));
    stream_out(to + 4, make_float4(dw[i][4], dw[i][5], dw[i][6], dw[i][7]));
  }
}

struct ReduceArguments {
  float* sum;  // [columns]
  const float* partial;
  int rows;
  int columns;
};

// A warp has four columns, eight lanes a column: each an eighth of the rows.
__global__ void __launch_bounds__(kSmall) norm_reduce(ReduceArguments a) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int column = global_thread() / kWarp * 4 + lane % 4;
  float sum = 0.0f;
  if (column < a.columns) {
#pragma unroll 8
    for (int row = lane / 4; row < a.rows; row += kWarp / 4) {
      sum += a.partial[static_cast<size_t>(row) * a.columns + column];
    }
  }
  for (int d = 4; d < kWarp; d *= 2) sum += shuffle_xor(sum, d);
  if (lane < 4 && column < a.columns) a.sum[column] = sum;
}

// As Python has it.
struct NormCall {
  uint64_t x, weight, inverse, y, gradient, add, dx, partial, dw, stream;
  int32_t rows, columns, blocks;
  float epsilon;
};

template <int kSteps>
int run_norm(int what, const NormCall& c, const NormArguments& a) {
  const int needed = divide_up(std::max(c.rows, 1), kWarps);
  if (what == 0)
    return launch_small(norm_forward<kSteps>, std::min(needed, c.blocks * 8), c.stream, a);
  const int blocks = std::min(needed, c.blocks * 2);
  const int rc = launch_small(norm_backward<kSteps>, blocks, c.stream, a);
  if (rc != 0) return rc;
  const ReduceArguments r = {at<float>(c.dw), a.partial, blocks * kWarps, a.columns};
  return launch_small(norm_reduce, divide_up(a.columns, 4 * kWarps), c.stream, r);
}

}  // namespace
}  // namespace remoe

// what: 0 forward, 1 backward. Columns are a multiple of 8, up to 2048; `partial` has room for
// 16 * blocks rows.
EXPORT int tensor_cores_norm(int what, const remoe::NormCall* call) {
  using namespace remoe;
  const NormCall& c = *call;
  const NormArguments a = {at<const bf16>(c.x),
                           at<const float>(c.weight),
                           at<float>(c.inverse),
                           at<bf16>(c.y),
                           at<const bf16>(c.gradient),
                           at<const bf16>(c.add),
                           at<bf16>(c.dx),
                           at<float>(c.partial),
                           c.rows,
                           c.columns,
                           c.epsilon};
  if (c.columns % 8 != 0) return -1;
  if (c.columns <= kStep) return run_norm<1>(what, c, a);
  if (c.columns <= 3 * kStep) return run_norm<3>(what, c, a);
  if (c.columns <= 6 * kStep) return run_norm<6>(what, c, a);
  if (c.columns <= 8 * kStep) return run_norm<8>(what, c, a);
  return -1;
}

#include <algorithm>

#include "flash_backward.h"
#include "launch.h"

namespace remoe {
namespace {

struct StatArguments {
  float* stat;
  const bf16* o;         // [batch, length, heads, head]
  const bf16* gradient;  // of o
  const float* lse;      // [batch, length, heads]
  int batch;
  int length;
  int padded;
  int heads;
  int head;
};

// The products of two times eight elements.
__device__ __forceinline__ float dot_8(uint4 a, uint4 b) {
  const uint32_t x[4] = {a.x, a.y, a.z, a.w};
  const uint32_t y[4] = {b.x, b.y, b.z, b.w};
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    sum += low_half(x[i]) * low_half(y[i]) + high_half(x[i]) * high_half(y[i]);
  }
  return sum;
}

// lse in bits, and delta = <o, its gradient>, of every head's rows. Eight lanes a row.
__global__ void __launch_bounds__(kSmall) flash_stat(StatArguments a) {
  constexpr int kLanes = 8;
  const int rows = a.batch * a.padded * a.heads;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int stride = static_cast<int>(gridDim.x) * kSmall / kLanes;
  const int end = divide_up(rows, stride) * stride;  // all lanes of a warp stay together
  for (int i = global_thread() / kLanes; i < end; i += stride) {
    const int head = i % a.heads;
    const int row = i / a.heads % a.padded;
    const int batch = i / a.heads / a.padded;
    const bool valid = i < rows && row < a.length;
    const size_t place = (static_cast<size_t>(batch) * a.length + row) * a.heads + head;
    float delta = 0.0f;
    if (valid) {
      for (int c = lane * 8; c < a.head; c += kLanes * 8) {
        delta += dot_8(load_16(a.o + place * a.head + c), load_16(a.gradient + place * a.head + c));
      }
    }
    for (int d = 1; d < kLanes; d *= 2) delta += shuffle_xor(delta, d);
    if (lane != 0 || i >= rows) continue;
    float* to = a.stat + (static_cast<size_t>(batch) * a.heads + head) * a.padded + row;
    *to = valid ? a.lse[place] * 1.4426950408889634f : INFINITY;
    to[static_cast<size_t>(a.batch) * a.heads * a.padded] = delta;
  }
}

// As Python has it.
struct BackwardCall {
  uint64_t dq, dk, dv, q, k, v, o, gradient, lse, stat, stream;
  int32_t batch, length, heads, groups, head, pitch, blocks;
};

template <int kHead>
int run_backward(int what, const BackwardCall& c, const BackwardArguments& a) {
  BackwardMaps maps = {};
  const int q_columns = c.heads * kHead;
  const int k_columns = c.groups * kHead;
  int rc = encode_map(&maps.q, at<void>(c.q), c.batch, c.length, q_columns, c.pitch);
  if (rc == 0) rc = encode_map(&maps.k, at<void>(c.k), c.batch, c.length, k_columns, c.pitch);
  if (rc == 0) rc = encode_map(&maps.v, at<void>(c.v), c.batch, c.length, k_columns, c.pitch);
  if (rc == 0) rc = encode_map(&maps.gradient, at<void>(c.gradient), c.batch, c.length, q_columns);
  if (rc != 0) return rc;
  if (what == 1) return launch_backward<kHead, true>(c.blocks, c.stream, a, maps);
  return launch_backward<kHead, false>(c.blocks, c.stream, a, maps);
}

}  // namespace
}  // namespace remoe

// what: 0 statistics, 1 dk and dv, 2 dq. q, k, v and their gradients lie `pitch` elements a token
// apart, o and its gradient close; stat has 2 * batch * heads * (length to a multiple of 64).
EXPORT int tensor_cores_flash_backward(int what, const remoe::BackwardCall* call) {
  using namespace remoe;
  const BackwardCall& c = *call;
  const int padded = divide_up(c.length, kSide) * kSide;
  if (what == 0) {
    const StatArguments a = {at<float>(c.stat),
                             at<const bf16>(c.o),
                             at<const bf16>(c.gradient),
                             at<const float>(c.lse),
                             c.batch,
                             c.length,
                             padded,
                             c.heads,
                             c.head};
    const int64_t threads = int64_t{8} * c.batch * padded * c.heads;
    const int blocks =
        static_cast<int>(std::min<int64_t>((threads + kSmall - 1) / kSmall, c.blocks * 8));
    return launch_small(flash_stat, blocks, c.stream, a);
  }
  const BackwardArguments a = {at<bf16>(c.dq),
                               at<bf16>(c.dk),
                               at<bf16>(c.dv),
                               at<const float>(c.stat),
                               c.batch,
                               c.length,
                               padded,
                               c.heads,
                               c.groups,
                               c.pitch,
                               c.head == 64 ? 0.125f : 0.08838834764831845f};
  if (c.head == 64) return run_backward<64>(what, c, a);
  if (c.head == 128) return run_backward<128>(what, c, a);
  return -1;
}

// Rotary position embedding: rotates each pair (x_i, x_{i+half}) of a head by position *
// base^(-i/half).
//
// cos and sin of every position in use are tabulated first, in fp64: an fp32 angle is off by an ulp
// of the position. The rotation is then bound by reading and writing x, since all heads and
// sequences share the table.

#include <cmath>

#include "attention/attention_arguments.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kRowsPerBlock = 8;

// Positions whose angles are derived from the first by repeated fp64 rotation: cos and sin of 32
// positions then cost little more than those of one, with an error of at most 32 * 2^-53.
constexpr int kTurns = 32;

struct AngleArguments {
  float2* angles;  // [positions, half] of {cos, sin}
  size_t positions;
  size_t half;
  double base;
  int offset;
  bool inverse;
};

__global__ void __launch_bounds__(kThreads) angles_kernel(AngleArguments a) {
  const size_t thread = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int i = static_cast<int>(thread % a.half);
  const size_t first = thread / a.half * kTurns;
  if (first >= a.positions) return;
  const double frequency = pow(a.base, -static_cast<double>(i) / static_cast<double>(a.half));
  const double turn_cos = cos(frequency);
  const double turn_sin = sin(frequency);
  const double angle = (a.offset + static_cast<double>(first)) * frequency;
  double c = cos(angle);
  double s = sin(angle);
  for (size_t p = first; p < first + kTurns && p < a.positions; p++) {
    a.angles[p * a.half + i] = {static_cast<float>(c), static_cast<float>(a.inverse ? -s : s)};
    const double next = c * turn_cos - s * turn_sin;
    s = s * turn_cos + c * turn_sin;
    c = next;
  }
}

struct RotateArguments {
  const float2* angles;
  int rows;
  int stride;
  int sequence;
  int heads;
  int half;
};

// Rotates the pairs (low[i], high[i]) of kCount adjacent i.
template <int kCount, class T>
__device__ __forceinline__ void rotate(T* low, T* high, const float2* angles) {
  constexpr int kTogether = kCount % 2 == 0 ? 2 : 1;  // angles of one access
  Vector<T, kCount> a = load_vector<T, kCount>(low);
  Vector<T, kCount> b = load_vector<T, kCount>(high);
  Vector<float2, kTogether> turns[kCount / kTogether];
#pragma unroll
  for (int i = 0; i < kCount / kTogether; i++) {
    turns[i] = load_vector<float2, kTogether>(angles + i * kTogether);
  }
#pragma unroll
  for (int i = 0; i < kCount; i++) {
    const float2 turn = turns[i / kTogether].element[i % kTogether];
    const float x = to_float(a.element[i]);
    const float y = to_float(b.element[i]);
    a.element[i] = to_element<T>(x * turn.x - y * turn.y);
    b.element[i] = to_element<T>(y * turn.x + x * turn.y);
  }
  store_vector(low, a);
  store_vector(high, b);
}

// One warp per row, so that neighbouring lanes share a head's line and a position's angles.
template <int kCount, class T>
__global__ void __launch_bounds__(kThreads) rotate_kernel(T* x, RotateArguments a) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = static_cast<int>(blockIdx.x) * kRowsPerBlock + static_cast<int>(threadIdx.x) / 32;
  if (row >= a.rows) return;
  T* of_row = x + static_cast<size_t>(row) * a.stride;
  const float2* of_position = a.angles + static_cast<size_t>(row % a.sequence) * a.half;
  const int per_head = a.half / kCount;
  for (int item = lane; item < a.heads * per_head; item += 32) {
    const int head = item / per_head;
    const int i = item % per_head * kCount;
    T* low = of_row + static_cast<size_t>(head) * (2 * a.half) + i;
    rotate<kCount>(low, low + a.half, of_position + i);
  }
}

template <class T>
void rope(Operation& op, T* x, const RotateArguments& a) {
  constexpr int kWide = 16 / sizeof(T);
  const bool wide =
      a.half % kWide == 0 && a.stride % kWide == 0 && reinterpret_cast<uint64_t>(x) % 16 == 0;
  const auto kernel = wide ? rotate_kernel<kWide, T> : rotate_kernel<1, T>;
  op.launch(kernel, dim3((a.rows + kRowsPerBlock - 1) / kRowsPerBlock), dim3(kThreads), 0, x, a);
}

}  // namespace
}  // namespace remoe

int32_t remoe_rope(uint64_t context, int32_t dtype, uint64_t x, int32_t rows, int32_t stride,
                   int32_t sequence, int32_t heads, int32_t head_dim, double base, int32_t offset,
                   int32_t inverse) {
  using namespace remoe;
  return guard(context, "rope", [&](Operation& op) {
    require_size(rows, "rows");
    require_size(sequence, "sequence");
    require_heads(heads, head_dim, stride);
    require_pairs(head_dim, base);
    require(offset >= 0, "offset is %d, but positions start at 0", offset);
    require_float(dtype);
    void* elements = require_elements(x, dtype, "x");
    const int half = head_dim / 2;
    const size_t positions = rows < sequence ? rows : sequence;
    const Scratch<float2> angles(op, positions * half);
    const size_t threads = (positions + kTurns - 1) / kTurns * half;
    op.launch(angles_kernel, dim3((threads + kThreads - 1) / kThreads), dim3(kThreads), 0,
              AngleArguments{.angles = angles.data(),
                             .positions = positions,
                             .half = static_cast<size_t>(half),
                             .base = base,
                             .offset = offset,
                             .inverse = inverse != 0});
    with_activations(dtype, [&](auto element) {
      using T = decltype(element);
      rope(op, static_cast<T*>(elements),
           RotateArguments{.angles = angles.data(),
                           .rows = rows,
                           .stride = stride,
                           .sequence = sequence,
                           .heads = heads,
                           .half = half});
    });
  });
}

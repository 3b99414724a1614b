// AdamW over many tensors in one launch: fp32 weights, moments and gradients, and a bf16 copy of
// the weights. 30 bytes an element, so memory is all that counts.
#include <algorithm>

#include "launch.h"

namespace remoe {
namespace {

constexpr int kVectors = 2;  // of four elements, a thread's of a chunk
constexpr int kChunk = kSmall * 4 * kVectors;

// As Python has it. Addresses are multiples of 16.
struct AdamTensor {
  float* weight;
  float* first;  // moments
  float* second;
  const float* gradient;
  bf16* copy;  // or null
  int64_t count;
  int32_t chunk;  // the first of the tensor's
  float decay;
};

struct AdamArguments {
  const AdamTensor* tensor;
  const float* scale;  // of the gradients, or null
  int32_t tensors;
  int32_t chunks;
  float rate;
  float beta1;
  float beta2;
  float epsilon;
  float correction1;  // 1 / (1 - beta ^ step)
  float correction2;
};

struct AdamState {
  float4 weight, first, second, gradient;
};

__device__ __forceinline__ void update(const AdamArguments& a, float keep, float scale,
                                       float& weight, float& first, float& second, float gradient) {
  const float g = gradient * scale;
  first = a.beta1 * first + (1.0f - a.beta1) * g;
  second = a.beta2 * second + (1.0f - a.beta2) * g * g;
  const float root = root_fast(second * a.correction2);
  const float step = divide_fast(first * a.correction1, root + a.epsilon);
  weight = weight * keep - a.rate * step;
}

// tensor[i].chunk <= chunk < tensor[i + 1].chunk
__device__ __forceinline__ int find_tensor(const AdamArguments& a, int chunk) {
  int low = 0;
  int high = a.tensors;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (a.tensor[middle].chunk <= chunk) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

__global__ void __launch_bounds__(kSmall) adamw(AdamArguments a) {
  const float scale = a.scale == nullptr ? 1.0f : *a.scale;
  for (int chunk = static_cast<int>(blockIdx.x); chunk < a.chunks;
       chunk += static_cast<int>(gridDim.x)) {
    const AdamTensor t = a.tensor[find_tensor(a, chunk)];
    const float keep = 1.0f - a.rate * t.decay;
    const int64_t begin = static_cast<int64_t>(chunk - t.chunk) * kChunk;
    AdamState state[kVectors];
#pragma unroll
    for (int i = 0; i < kVectors; i++) {
      const int64_t at = begin + (i * kSmall + static_cast<int>(threadIdx.x)) * 4;
      if (at + 4 > t.count) continue;
      state[i] = {stream_in(t.weight + at), stream_in(t.first + at), stream_in(t.second + at),
                  stream_in(t.gradient + at)};
    }
#pragma unroll
    for (int i = 0; i < kVectors; i++) {
      const int64_t at = begin + (i * kSmall + static_cast<int>(threadIdx.x)) * 4;
      if (at + 4 > t.count) {
        for (int64_t k = at; k < t.count; k++) {
          update(a, keep, scale, t.weight[k], t.first[k], t.second[k], t.gradient[k]);
          if (t.copy != nullptr) t.copy[k] = static_cast<bf16>(pack(t.weight[k], 0.0f));
        }
        continue;
      }
      AdamState& s = state[i];
      update(a, keep, scale, s.weight.x, s.first.x, s.second.x, s.gradient.x);
      update(a, keep, scale, s.weight.y, s.first.y, s.second.y, s.gradient.y);
      update(a, keep, scale, s.weight.z, s.first.z, s.second.z, s.gradient.z);
      update(a, keep, scale, s.weight.w, s.first.w, s.second.w, s.gradient.w);
      stream_out(t.weight + at, s.weight);
      stream_out(t.first + at, s.first);
      stream_out(t.second + at, s.second);
      if (t.copy == nullptr) continue;
      *reinterpret_cast<uint2*>(t.copy + at) =
          make_uint2(pack(s.weight.x, s.weight.y), pack(s.weight.z, s.weight.w));
    }
  }
}

}  // namespace
}  // namespace remoe

// `table` holds the tensors on the device, their chunks counted on in units of
// `tensor_cores_adamw_chunk`.
EXPORT int tensor_cores_adamw_chunk() { return remoe::kChunk; }
EXPORT int tensor_cores_adamw(uint64_t table, uint64_t scale, int tensors, int chunks, float rate,
                              float beta1, float beta2, float epsilon, float correction1,
                              float correction2, int blocks, uint64_t stream) {
  using namespace remoe;
  const AdamArguments a = {at<const AdamTensor>(table),
                           at<const float>(scale),
                           tensors,
                           chunks,
                           rate,
                           beta1,
                           beta2,
                           epsilon,
                           correction1,
                           correction2};
  return launch_small(adamw, std::max(1, std::min(chunks, blocks)), stream, a);
}

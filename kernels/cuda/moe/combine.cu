// Gathers the sum by token instead of scattering it by row: no two threads write to the same
// element, and terms are added in the order of the experts.
#include "device/floats.h"
#include "moe/combine.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kMaximumBlocks = 8192;

template <class T>
struct CombineArguments {
  T* target;
  const float* rows;
  PlanView plan;
  int hidden;
  bool accumulate;
};

// A thread takes kCount columns of a token.
template <int kCount, class T>
__global__ void __launch_bounds__(kThreads) combine_kernel(CombineArguments<T> a, uint64_t runs) {
  const uint64_t per_token = static_cast<uint64_t>(a.hidden / kCount);
  const uint64_t stride = static_cast<uint64_t>(gridDim.x) * kThreads;
  const bool empty = a.plan.rows() == 0;
  const int32_t* token_offset = a.plan.token_offset();
  const int32_t* token_row = a.plan.token_row();
  for (uint64_t i = static_cast<uint64_t>(blockIdx.x) * kThreads + threadIdx.x; i < runs;
       i += stride) {
    const uint64_t token = i / per_token;
    const uint64_t column = i % per_token * kCount;
    T* target = a.target + token * a.hidden + column;
    float sum[kCount] = {};
    if (a.accumulate) load_floats(target, sum);
    const int32_t end = empty ? 0 : token_offset[token + 1];
#pragma unroll 2
    for (int32_t slot = empty ? 0 : token_offset[token]; slot < end; slot++) {
      float row[kCount];
      load_floats(a.rows + static_cast<size_t>(token_row[slot]) * a.hidden + column, row);
#pragma unroll
      for (int k = 0; k < kCount; k++) sum[k] += row[k];
    }
    store_floats(target, sum);
  }
}

}  // namespace

template <class T>
void combine(Operation& op, T* target, const float* rows, const PlanView& plan, int hidden,
             bool accumulate) {
  constexpr int kCount = 4;
  const CombineArguments<T> a = {target, rows, plan, hidden, accumulate};
  const bool wide =
      hidden % kCount == 0 && reinterpret_cast<uint64_t>(target) % (kCount * sizeof(T)) == 0;
  const uint64_t runs = static_cast<uint64_t>(plan.tokens) * (wide ? hidden / kCount : hidden);
  op.launch(wide ? combine_kernel<kCount, T> : combine_kernel<1, T>,
            dim3(grid_blocks(runs, kThreads, kMaximumBlocks)), dim3(kThreads), 0, a, runs);
}

template void combine(Operation&, float*, const float*, const PlanView&, int, bool);
template void combine(Operation&, Bf16*, const float*, const PlanView&, int, bool);

}  // namespace remoe

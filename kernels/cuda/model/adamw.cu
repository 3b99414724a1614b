// AdamW in a single pass over its data. An element with an fp32 gradient and a bf16 copy takes 30
// bytes of traffic, so memory is all that counts.

#include <cmath>

#include "device/fast_math.h"
#include "model/tensor_schedule.h"

namespace remoe {
namespace {

constexpr int kThreads = kScheduleThreads;
constexpr int kWidth = 4;
constexpr int kVectors = 4;  // of a thread in a chunk
constexpr int kChunk = kThreads * kWidth * kVectors;

struct AdamwOptions {
  double beta1;
  double beta2;
  double epsilon;
  double weight_decay;
};

// Factors of one step, computed in fp64 once per step.
struct AdamwFactors {
  float beta1;
  float one_less_beta1;
  float beta2;
  float one_less_beta2;
  float epsilon;
  float clip_scale;
  float step;               // learning rate / bias correction 1
  float second_correction;  // 1 / sqrt(bias correction 2)
  float kept_by_decay;      // 1 - learning rate * weight decay
};

__device__ __forceinline__ AdamwFactors factors_of(const double* state, const AdamwOptions& o) {
  const double rate = state[REMOE_STATE_LEARNING_RATE];
  return {
      .beta1 = static_cast<float>(o.beta1),
      .one_less_beta1 = static_cast<float>(1 - o.beta1),
      .beta2 = static_cast<float>(o.beta2),
      .one_less_beta2 = static_cast<float>(1 - o.beta2),
      .epsilon = static_cast<float>(o.epsilon),
      .clip_scale = static_cast<float>(state[REMOE_STATE_CLIP_SCALE]),
      .step = static_cast<float>(rate / state[REMOE_STATE_BIAS_CORRECTION_1]),
      .second_correction = static_cast<float>(1 / sqrt(state[REMOE_STATE_BIAS_CORRECTION_2])),
      .kept_by_decay = static_cast<float>(1 - rate * o.weight_decay),
  };
}

// A step to be skipped has no chunks.
__global__ void __launch_bounds__(kThreads)
    schedule_adamw_kernel(AdamwFactors* factors, const double* state, AdamwOptions options,
                          TensorSchedule schedule, IndexCheck check) {
  fill_schedule<true>(gpu::shared<ScheduleShared>(), schedule, kChunk, check);
  if (threadIdx.x != 0) return;
  const bool skipped = state[REMOE_STATE_NOT_FINITE] != 0 || state[REMOE_STATE_OVERFLOW] != 0;
  const bool corrected =
      state[REMOE_STATE_BIAS_CORRECTION_1] > 0 && state[REMOE_STATE_BIAS_CORRECTION_2] > 0;
  if (skipped || !corrected) schedule.first_chunk[schedule.count] = 0;
  if (!skipped && !corrected) check.report(0, kBadCorrections);
  *factors = factors_of(state, options);
}

struct Moments {
  float weight;
  float first;
  float second;
};

__device__ __forceinline__ Moments updated(Moments s, float gradient, const AdamwFactors& f,
                                           float kept) {
  const float g = gradient * f.clip_scale;
  s.first = f.beta1 * s.first + f.one_less_beta1 * g;
  s.second = f.beta2 * s.second + f.one_less_beta2 * (g * g);
  // A few units of the last place of the update, which is small beside the weight. Exact ones would
  // take as long as the memory.
  const float root = root_fast(s.second) * f.second_correction + f.epsilon;
  s.weight = kept * s.weight - divide_fast(f.step * s.first, root);
  return s;
}

template <class G>
__device__ __forceinline__ void update_one(const TensorRow& row, size_t i, const AdamwFactors& f,
                                           float kept) {
  const float g = to_float(static_cast<const G*>(row.gradient)[i]);
  const Moments s = updated({row.master[i], row.moment_1[i], row.moment_2[i]}, g, f, kept);
  row.master[i] = s.weight;
  row.moment_1[i] = s.first;
  row.moment_2[i] = s.second;
  if (row.copy != nullptr) row.copy[i] = to_bf16(s.weight);
}

template <class G>
struct Loaded {
  Vector<float, kWidth> weight;
  Vector<float, kWidth> first;
  Vector<float, kWidth> second;
  Vector<G, kWidth> gradient;

  __device__ __forceinline__ void load(const TensorRow& row, size_t i) {
    weight = load_vector<float, kWidth>(row.master + i);
    first = load_vector<float, kWidth>(row.moment_1 + i);
    second = load_vector<float, kWidth>(row.moment_2 + i);
    gradient = load_vector<G, kWidth>(static_cast<const G*>(row.gradient) + i);
  }

  __device__ __forceinline__ void update(const AdamwFactors& f, float kept) {
#pragma unroll
    for (int k = 0; k < kWidth; k++) {
      const Moments s = updated({weight.element[k], first.element[k], second.element[k]},
                                to_float(gradient.element[k]), f, kept);
      weight.element[k] = s.weight;
      first.element[k] = s.first;
      second.element[k] = s.second;
    }
  }

  __device__ __forceinline__ void store(const TensorRow& row, size_t i) const {
    store_vector(row.master + i, weight);
    store_vector(row.moment_1 + i, first);
    store_vector(row.moment_2 + i, second);
    if (row.copy == nullptr) return;
    Vector<Bf16, kWidth> copy;
#pragma unroll
    for (int k = 0; k < kWidth; k++) copy.element[k] = to_bf16(weight.element[k]);
    store_vector(row.copy + i, copy);
  }
};

__device__ __forceinline__ bool is_aligned(const void* address, size_t bytes) {
  return reinterpret_cast<uint64_t>(address) % bytes == 0;
}

template <class G>
__device__ __forceinline__ void update_chunk(const TensorSpan& span, const AdamwFactors& f) {
  const TensorRow& row = span.row;
  const float kept = row.decays() ? f.kept_by_decay : 1.0f;
  const bool wide = is_aligned(row.master, 16) && is_aligned(row.moment_1, 16) &&
                    is_aligned(row.moment_2, 16) && is_aligned(row.copy, 8) &&
                    is_aligned(row.gradient, kWidth * sizeof(G));
  // Whole vectors; the rest is less than one vector, or all.
  const size_t vectors = wide ? (span.end - span.begin) / kWidth : 0;
#pragma unroll 1
  for (size_t v = threadIdx.x; v < vectors; v += kThreads) {
    const size_t i = span.begin + v * kWidth;
    Loaded<G> loaded;
    loaded.load(row, i);
    loaded.update(f, kept);
    loaded.store(row, i);
  }
#pragma unroll 1
  for (size_t i = span.begin + vectors * kWidth + threadIdx.x; i < span.end; i += kThreads) {
    update_one<G>(row, i, f, kept);
  }
}

// Four blocks of a multiprocessor, one vector of each array per thread, are 64 KiB in flight.
__global__ void __launch_bounds__(kThreads, 4)
    adamw_kernel(const AdamwFactors* factors, TensorSchedule schedule) {
  const uint32_t chunks = schedule.first_chunk[schedule.count];
  if (blockIdx.x >= chunks) return;
  const AdamwFactors f = *factors;
  for (uint32_t chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
    const TensorSpan span(schedule, chunk, kChunk);
    if (span.row.gradient_dtype() == REMOE_BF16) {
      update_chunk<Bf16>(span, f);
    } else {
      update_chunk<float>(span, f);
    }
  }
}

}  // namespace
}  // namespace remoe

int32_t remoe_adamw(uint64_t context, uint64_t state, uint64_t table, int32_t count, double beta1,
                    double beta2, double epsilon, double weight_decay) {
  using namespace remoe;
  return guard(context, "adamw", [&](Operation& op) {
    const auto* values = require_address<const double>(state, "state");
    require_size(count, "count");
    const auto* rows = require_address<const TensorRow>(table, "table");
    const Scratch<uint32_t> first_chunk(op, static_cast<size_t>(count) + 1);
    const Scratch<AdamwFactors> factors(op, 1);
    const TensorSchedule schedule = {rows, first_chunk.data(), count};
    const AdamwOptions options = {beta1, beta2, epsilon, weight_decay};
    op.launch(schedule_adamw_kernel, dim3(1), dim3(kThreads), sizeof(ScheduleShared),
              factors.data(), values, options, schedule, op.index_check(fail_at_tensor, 0));
    op.launch(adamw_kernel, dim3(16 * op.context.multiprocessors), dim3(kThreads), 0,
              factors.data(), schedule);
  });
}

// The optimizer: the norm of all gradients, and AdamW in a single pass over its data.
#include <cmath>

#include "per_isa/kernel.h"
#include "per_isa/simd/bf16.h"
#include "runtime/parallel.h"
#include "runtime/tensor_table.h"

namespace remoe {

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

}  // namespace remoe

namespace remoe::REMOE_TARGET {
namespace {

[[gnu::always_inline]] inline float read(float x) { return x; }
[[gnu::always_inline]] inline float read(Bf16 x) { return to_float(x); }

// In fp64: the sum of 10^9 squared fp32 values keeps 7 digits.
template <class G>
double squares(const G* gradient, int64_t begin, int64_t end) {
  double total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t i = begin; i < end; ++i) {
    const double g = read(gradient[i]);
    total += g * g;
  }
  return total;
}

template <class G>
void update(const TensorSpan& span, const AdamwFactors& f) {
  float* __restrict w = reinterpret_cast<float*>(span.row->master);
  float* __restrict m = reinterpret_cast<float*>(span.row->moment_1);
  float* __restrict v = reinterpret_cast<float*>(span.row->moment_2);
  const G* __restrict gradient = reinterpret_cast<const G*>(span.row->gradient);
  const float kept = span.row->decays() ? f.kept_by_decay : 1.0f;
  for (int64_t i = span.begin; i < span.end; ++i) {
    const float g = read(gradient[i]) * f.clip_scale;
    m[i] = f.beta1 * m[i] + f.one_less_beta1 * g;
    v[i] = f.beta2 * v[i] + f.one_less_beta2 * (g * g);
    const float root = __builtin_sqrtf(v[i]) * f.second_correction + f.epsilon;
    w[i] = kept * w[i] - f.step * m[i] / root;
  }
  Bf16* __restrict copy = reinterpret_cast<Bf16*>(span.row->copy);
  if (copy == nullptr) return;
  for (int64_t i = span.begin; i < span.end; ++i) copy[i] = to_bf16(w[i]);
}

}  // namespace

double squared_norm(Context& context, const TensorBlocks& blocks) {
  Scratch<double> partial(context, blocks.count());
  parallel_ranges(context, blocks.count(), kTensorBlock, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const TensorSpan span = span_of(blocks, block);
      partial[block] =
          span.row->gradient_dtype() == REMOE_BF16
              ? squares(reinterpret_cast<const Bf16*>(span.row->gradient), span.begin, span.end)
              : squares(reinterpret_cast<const float*>(span.row->gradient), span.begin, span.end);
    }
  });
  double total = 0;
  for (int64_t block = 0; block < blocks.count(); ++block) total += partial[block];
  return total;
}

void adamw(const Context& context, const TensorBlocks& blocks, const AdamwFactors& factors) {
  parallel_ranges(context, blocks.count(), kTensorBlock, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const TensorSpan span = span_of(blocks, block);
      if (span.row->gradient_dtype() == REMOE_BF16) {
        update<Bf16>(span, factors);
      } else {
        update<float>(span, factors);
      }
    }
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(squared_norm)
REMOE_KERNEL(adamw)

using namespace remoe;

int32_t remoe_gradient_norm(uint64_t context, uint64_t state, uint64_t table, int32_t count,
                            double clip) {
  return guard(context, "gradient_norm", [&](Context& c) {
    double* values = require_address<double>(state, "state");
    const TensorBlocks blocks = read_tensor_table(table, count, false);
    const double norm = std::sqrt(REMOE_DISPATCH(c, squared_norm, blocks));
    values[REMOE_STATE_GRADIENT_NORM] = norm;
    values[REMOE_STATE_CLIP_SCALE] = clip > 0 ? std::fmin(1.0, clip / (norm + 1e-6)) : 1.0;
    if (!std::isfinite(norm)) values[REMOE_STATE_NOT_FINITE] = 1;
  });
}

int32_t remoe_adamw(uint64_t context, uint64_t state, uint64_t table, int32_t count, double beta1,
                    double beta2, double epsilon, double weight_decay) {
  return guard(context, "adamw", [&](Context& c) {
    const double* values = require_address<const double>(state, "state");
    const TensorBlocks blocks = read_tensor_table(table, count, true);
    if (values[REMOE_STATE_NOT_FINITE] != 0 || values[REMOE_STATE_OVERFLOW] != 0) return;
    const double rate = values[REMOE_STATE_LEARNING_RATE];
    const double correction1 = values[REMOE_STATE_BIAS_CORRECTION_1];
    const double correction2 = values[REMOE_STATE_BIAS_CORRECTION_2];
    require(correction1 > 0 && correction2 > 0, REMOE_INVALID_ARGUMENT,
            "the bias corrections of the state are %g and %g, but must be above 0", correction1,
            correction2);
    const AdamwFactors factors{
        .beta1 = static_cast<float>(beta1),
        .one_less_beta1 = static_cast<float>(1 - beta1),
        .beta2 = static_cast<float>(beta2),
        .one_less_beta2 = static_cast<float>(1 - beta2),
        .epsilon = static_cast<float>(epsilon),
        .clip_scale = static_cast<float>(values[REMOE_STATE_CLIP_SCALE]),
        .step = static_cast<float>(rate / correction1),
        .second_correction = static_cast<float>(1 / std::sqrt(correction2)),
        .kept_by_decay = static_cast<float>(1 - rate * weight_decay),
    };
    REMOE_DISPATCH(c, adamw, blocks, factors);
  });
}
#endif  // REMOE_ENTRY_POINTS

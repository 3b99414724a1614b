// The optimizer: the norm of all gradients, and AdamW in one pass over everything it touches.
#include "per_isa/kernels.h"
#include "per_isa/simd/bf16.h"
#include "runtime/parallel.h"
#include "runtime/tensor_table.h"

namespace remoe::REMOE_TARGET {
namespace {

[[gnu::always_inline]] inline float read(float x) { return x; }
[[gnu::always_inline]] inline float read(Bf16 x) { return to_float(x); }

// In fp64: the squares of 10^9 fp32 values keep 7 digits.
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

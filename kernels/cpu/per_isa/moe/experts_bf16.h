// The experts' kernels in bf16, for the entry points beside those in fp32.
#pragma once

#include "per_isa/kernel.h"
#include "per_isa/simd/bf16.h"

REMOE_DECLARE_BF16(experts_forward_bf16,
                   void(Context&, Bf16* y, Bf16* h, const Bf16* x, const Bf16* w1, const Bf16* w2,
                        const float* gates, const int32_t* plan_words, int kept_rows, int tokens,
                        int hidden, int width, int experts))
REMOE_DECLARE_BF16(experts_gradient_bf16,
                   void(Context&, Bf16* dx, float* dw1, float* dw2, float* dgates, const Bf16* dy,
                        const Bf16* h, const Bf16* x, const Bf16* w1, const Bf16* w2,
                        const float* gates, const int32_t* plan_words, int kept_rows, int tokens,
                        int hidden, int width, int experts, int accumulate))

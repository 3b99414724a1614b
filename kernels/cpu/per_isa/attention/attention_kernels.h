// The kernels of attention, one per type and instruction set.
#pragma once

#include "per_isa/attention/attention_arguments.h"
#include "per_isa/kernel.h"
#include "per_isa/simd/bf16.h"

REMOE_DECLARE(attention_forward, void(Context&, const ForwardCall<float>&))
REMOE_DECLARE(attention_extend, void(Context&, const ExtendCall<float>&))
REMOE_DECLARE(attention_gradient, void(Context&, const GradientCall<float>&))
REMOE_DECLARE_BF16(attention_forward_bf16, void(Context&, const ForwardCall<Bf16>&))
REMOE_DECLARE_BF16(attention_extend_bf16, void(Context&, const ExtendCall<Bf16>&))
REMOE_DECLARE_BF16(attention_gradient_bf16, void(Context&, const GradientCall<Bf16>&))

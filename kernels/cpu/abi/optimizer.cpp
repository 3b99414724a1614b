// The optimizer.
#include <cmath>

#include "per_isa/kernels.h"

using namespace remoe;

extern "C" {

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
    if (values[REMOE_STATE_NOT_FINITE] != 0) return;
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
}

// Cross entropy fused with the output head.
#include "per_isa/kernels.h"

using namespace remoe;

namespace {

void require_sizes(int32_t tokens, int32_t hidden, int32_t vocabulary) {
  require_size(tokens, "tokens");
  require_size(hidden, "hidden");
  require_size(vocabulary, "vocabulary");
}

const int32_t* require_targets(uint64_t address, int32_t tokens, int32_t vocabulary) {
  const int32_t* targets = require_address<const int32_t>(address, "targets");
  for (int32_t i = 0; i < tokens; ++i) {
    require(targets[i] < vocabulary, REMOE_OUT_OF_RANGE,
            "target %d at position %d is outside the vocabulary of %d", targets[i], i, vocabulary);
  }
  return targets;
}

// Where logits are kept: null, or [tokens, stride].
float* require_logits(uint64_t address, int32_t vocabulary, int32_t stride) {
  float* logits = optional_address<float>(address, "logits");
  require(logits == nullptr || stride >= vocabulary, REMOE_INVALID_ARGUMENT,
          "logit_stride is %d, below the vocabulary of %d", stride, vocabulary);
  return logits;
}

}  // namespace

extern "C" {

int32_t remoe_cross_entropy_forward(uint64_t context, uint64_t loss, uint64_t token_loss,
                                    uint64_t normalizer, uint64_t logits, uint64_t x, uint64_t w,
                                    uint64_t targets, int32_t tokens, int32_t hidden,
                                    int32_t vocabulary, int32_t logit_stride) {
  return guard(context, "cross_entropy_forward", [&](Context& open) {
    require_sizes(tokens, hidden, vocabulary);
    REMOE_DISPATCH(open, cross_entropy_forward, require_address<float>(loss, "loss"),
                   optional_address<float>(token_loss, "token_loss"),
                   require_address<float>(normalizer, "normalizer"),
                   require_logits(logits, vocabulary, logit_stride),
                   require_address<const float>(x, "x"), require_address<const float>(w, "w"),
                   require_targets(targets, tokens, vocabulary), tokens, hidden, vocabulary,
                   logit_stride);
  });
}

int32_t remoe_cross_entropy_gradient(uint64_t context, uint64_t dx, uint64_t dw, uint64_t dloss,
                                     uint64_t loss, uint64_t normalizer, uint64_t logits,
                                     uint64_t x, uint64_t w, uint64_t targets, int32_t tokens,
                                     int32_t hidden, int32_t vocabulary, int32_t logit_stride,
                                     int32_t accumulate) {
  return guard(context, "cross_entropy_gradient", [&](Context& open) {
    require_sizes(tokens, hidden, vocabulary);
    REMOE_DISPATCH(open, cross_entropy_gradient, optional_address<float>(dx, "dx"),
                   optional_address<float>(dw, "dw"), require_address<const float>(dloss, "dloss"),
                   require_address<const float>(loss, "loss"),
                   require_address<const float>(normalizer, "normalizer"),
                   require_logits(logits, vocabulary, logit_stride),
                   require_address<const float>(x, "x"), require_address<const float>(w, "w"),
                   require_targets(targets, tokens, vocabulary), tokens, hidden, vocabulary,
                   logit_stride, accumulate);
  });
}
}

// Argument checks shared by the forward pass and the gradient of cross entropy.
#pragma once

#include "runtime/context.h"

namespace remoe {

// Where remoe_token_scores writes, each [T].
struct TokenScores {
  float* log_probability;
  int32_t* greedy;
  float* greedy_log_probability;
};

inline void require_head(int32_t tokens, int32_t hidden, int32_t vocabulary) {
  require_size(tokens, "tokens");
  require_size(hidden, "hidden");
  require_size(vocabulary, "vocabulary");
}

inline const int32_t* require_targets(uint64_t address, int32_t tokens, int32_t vocabulary) {
  const int32_t* targets = require_address<const int32_t>(address, "targets");
  for (int32_t i = 0; i < tokens; ++i) {
    require(targets[i] < vocabulary, REMOE_OUT_OF_RANGE,
            "target %d at position %d is outside the vocabulary of %d", targets[i], i, vocabulary);
  }
  return targets;
}

// The rows of kept logits must hold the vocabulary.
inline void require_logits(uint64_t address, int32_t vocabulary, int32_t stride) {
  require(address == 0 || stride >= vocabulary, REMOE_INVALID_ARGUMENT,
          "logit_stride is %d, below the vocabulary of %d", stride, vocabulary);
}

}  // namespace remoe

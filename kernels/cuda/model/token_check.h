// Checks of tokens and targets, in the words of the CPU build.
#pragma once

#include "runtime/errors.h"

namespace remoe {

[[noreturn]] inline void fail_at_token(int32_t token, int32_t position, int32_t vocabulary) {
  fail(REMOE_OUT_OF_RANGE, "token %d at position %d is outside the vocabulary of %d", token,
       position, vocabulary);
}

[[noreturn]] inline void fail_at_target(int32_t target, int32_t position, int32_t vocabulary) {
  fail(REMOE_OUT_OF_RANGE, "target %d at position %d is outside the vocabulary of %d", target,
       position, vocabulary);
}

}  // namespace remoe

// Activations of either element type, as entry points hand them to kernels.
#pragma once

#include "runtime/dtype.h"

namespace remoe {

struct Activations {
  int32_t dtype;  // fp32 or bf16
  const void* data;
};

inline Activations require_activations(uint64_t address, int32_t dtype, const char* name) {
  require_float(dtype);
  return {dtype, require_elements(address, dtype, name)};
}

}  // namespace remoe

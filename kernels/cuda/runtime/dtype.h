// The dtypes of remoe.h, as entry points check them and hand them to templates of kernels.
#pragma once

#include "device/bf16.h"
#include "runtime/errors.h"

namespace remoe {

// Bytes per element. Throws REMOE_INVALID_ARGUMENT if the code is unknown.
inline int bytes_of(int32_t dtype) {
  switch (dtype) {
    case REMOE_F32:
    case REMOE_I32:
      return 4;
    case REMOE_BF16:
      return 2;
    case REMOE_F64:
      return 8;
    default:
      fail(REMOE_INVALID_ARGUMENT, "dtype %d is unknown", dtype);
  }
}

// Throws REMOE_UNSUPPORTED unless the dtype is fp32 or bf16.
inline void require_float(int32_t dtype) {
  bytes_of(dtype);
  if (dtype != REMOE_F32 && dtype != REMOE_BF16) {
    fail(REMOE_UNSUPPORTED, "dtype %d: only fp32 and bf16 are supported here", dtype);
  }
}

// Runs body(T{}) with the type of activations of `dtype`: float or Bf16.
template <class Body>
void with_activations(int32_t dtype, Body&& body) {
  require_float(dtype);
  if (dtype == REMOE_F32) {
    body(float{});
  } else {
    body(Bf16{});
  }
}

// The elements to walk. Throws if there are none, or more than any memory holds.
inline uint64_t require_count(uint64_t count) {
  require(count >= 1, "count is 0, but at least 1 is needed");
  require(count <= uint64_t{1} << 46, "count is %llu, beyond any memory",
          static_cast<unsigned long long>(count));
  return count;
}

// The pointer for the address of elements of `dtype`, checked for alignment.
inline void* require_elements(uint64_t address, int32_t dtype, const char* name) {
  require(address != 0, "the address of %s is 0", name);
  require_aligned(address, static_cast<size_t>(bytes_of(dtype)), name);
  return reinterpret_cast<void*>(address);
}

}  // namespace remoe

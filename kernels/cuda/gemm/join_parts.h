// The last step of a product that was divided along its depth.
#pragma once

#include "device/bf16.h"
#include "runtime/operation.h"

namespace remoe {

// C = alpha * (sum of the parts, in their order) + beta * C.
template <class C>
struct Parts {
  C* c;
  size_t ldc;            // elements between rows of C
  const float* partial;  // [splits, count]
  int splits;
  size_t count;  // elements of C
  int n;         // columns
  float alpha;
  float beta;
};

template <class C>
void join_parts(Operation& op, const Parts<C>& parts);

}  // namespace remoe

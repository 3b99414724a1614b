// What the experts' forward pass and gradient are called with, in fp32 and in bf16.
#pragma once

#include <cstdint>

#include "per_isa/simd/bf16.h"

namespace remoe::REMOE_TARGET {

// State shared by the tasks of a forward pass.
template <class T>
struct ExpertsForward {
  float* rows;  // [N,D]: gate * FFN(x) of each row
  T* h;         // [kept_rows,2W]
  int64_t kept_rows;
  const T* x;
  const T* w1;
  const T* w2;
  const float* gates;
  const int32_t* row_token;
  int64_t hidden;
  int64_t width;
  int64_t experts;
  int64_t chunk;  // columns of the width processed at once
};

// State shared by the tasks of a gradient.
template <class T>
struct ExpertsGradient {
  float* dx_rows;  // [N,D]: the gradient of each row's x; null: not wanted
  float* dgates;   // null: not wanted
  bool add_dgates;
  const T* dy;
  const T* h;         // [kept_rows,2W]
  int64_t kept_rows;  // rows of the plan whose h was kept
  bool recomputes;    // whether any row's h was not kept
  const T* x;
  const T* w1;
  const T* w2;
  const float* gates;
  const int32_t* row_token;
  int64_t hidden;
  int64_t width;
  int64_t experts;
  int64_t chunk;  // columns of the width processed at once
  int64_t tile;   // rows processed at once
};

}  // namespace remoe::REMOE_TARGET

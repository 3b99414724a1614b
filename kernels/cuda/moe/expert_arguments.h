// What the experts' forward pass and gradient are called with, checked. T is the element type of
// the activations.
#pragma once

#include "device/bf16.h"
#include "moe/plan_view.h"

namespace remoe {

struct ExpertSizes {
  int tokens;
  int hidden;
  int width;
  int experts;
  // The most rows the plan can have, which the host does not know better: grids and scratch memory
  // follow from it.
  int most_rows;
};

template <class T>
struct ExpertsForward {
  T* y;  // [T, D]
  T* h;  // [kept_rows, 2W]
  const T* x;
  const T* w1;  // [E, D, 2W]
  const T* w2;  // [E, W, D]
  const float* gates;
  PlanView plan;
  int kept_rows;
  ExpertSizes sizes;
};

// Bits of the gradient's `accumulate`.
enum ExpertsAccumulate { kAddDx = 1, kAddDw1 = 2, kAddDw2 = 4, kAddDgates = 8 };

template <class T>
struct ExpertsGradient {
  T* dx;          // [T, D]; as the next three, nullptr if not wanted
  float* dw1;     // [E, D, 2W]
  float* dw2;     // [E, W, D]
  float* dgates;  // [T, E]
  const T* dy;
  const T* h;
  const T* x;
  const T* w1;
  const T* w2;
  const float* gates;
  PlanView plan;
  int kept_rows;
  int accumulate;
  ExpertSizes sizes;
};

}  // namespace remoe

// Elementwise functions of one operand, and their derivatives.

#include <cmath>

#include "runtime/dtype.h"
#include "tensor/each_element.h"

namespace remoe {
namespace {

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

__device__ __forceinline__ float silu(float x) { return x / (1.0f + expf(-x)); }

// From x and s = sigmoid(x).
__device__ __forceinline__ float silu_derivative(float x, float s) {
  return s * (1.0f + x * (1.0f - s));
}

// Calls body(f) with f the function named by `operation`: a branch per run, not per element.
template <class Body>
__device__ __forceinline__ void with_function(int operation, float p, Body&& body) {
  switch (operation) {
    case REMOE_NEGATE:
      return body([](float x) { return -x; });
    case REMOE_EXP:
      return body([](float x) { return expf(x); });
    case REMOE_LOG:
      return body([](float x) { return logf(x); });
    case REMOE_SQRT:
      return body([](float x) { return sqrtf(x); });
    case REMOE_SQUARE:
      return body([](float x) { return x * x; });
    case REMOE_RELU:  // this order keeps NaN
      return body([](float x) { return x < 0.0f ? 0.0f : x; });
    case REMOE_SIGMOID:
      return body([](float x) { return sigmoid(x); });
    case REMOE_SILU:
      return body([](float x) { return silu(x); });
    case REMOE_TANH:
      return body([](float x) { return tanhf(x); });
    case REMOE_SCALE:
      return body([p](float x) { return p * x; });
    default:
      return body([p](float x) { return p + x; });
  }
}

// Calls body(f) with f(x, dy) = op'(x) * dy.
template <class Body>
__device__ __forceinline__ void with_gradient(int operation, float p, Body&& body) {
  switch (operation) {
    case REMOE_NEGATE:
      return body([](float, float dy) { return -dy; });
    case REMOE_EXP:
      return body([](float x, float dy) { return expf(x) * dy; });
    case REMOE_LOG:
      return body([](float x, float dy) { return dy / x; });
    case REMOE_SQRT:
      return body([](float x, float dy) { return 0.5f * dy / sqrtf(x); });
    case REMOE_SQUARE:
      return body([](float x, float dy) { return 2.0f * x * dy; });
    case REMOE_RELU:
      return body([](float x, float dy) { return x > 0.0f ? dy : 0.0f; });
    case REMOE_SIGMOID:
      return body([](float x, float dy) {
        const float s = sigmoid(x);
        return s * (1.0f - s) * dy;
      });
    case REMOE_SILU:
      return body([](float x, float dy) { return silu_derivative(x, sigmoid(x)) * dy; });
    case REMOE_TANH:
      return body([](float x, float dy) {
        const float t = tanhf(x);
        return (1.0f - t * t) * dy;
      });
    case REMOE_SCALE:
      return body([p](float, float dy) { return p * dy; });
    default:
      return body([](float, float dy) { return dy; });
  }
}

template <class T>
struct UnaryBody {
  T* target;  // may be x
  const T* x;
  int operation;
  float parameter;

  template <int kCount>
  __device__ __forceinline__ void at(uint64_t i) const {
    float value[kCount];
    load_floats(x + i, value);
    with_function(operation, parameter, [&](auto f) {
#pragma unroll
      for (int k = 0; k < kCount; k++) value[k] = f(value[k]);
    });
    store_floats(target + i, value);
  }
};

template <class T>
struct UnaryGradientBody {
  T* dx;  // may be dy or x
  const T* dy;
  const T* x;
  int operation;
  float parameter;
  bool accumulate;

  template <int kCount>
  __device__ __forceinline__ void at(uint64_t i) const {
    float argument[kCount];
    float gradient[kCount];
    load_floats(x + i, argument);
    load_floats(dy + i, gradient);
    with_gradient(operation, parameter, [&](auto f) {
#pragma unroll
      for (int k = 0; k < kCount; k++) gradient[k] = f(argument[k], gradient[k]);
    });
    if (accumulate) {
      load_floats(dx + i, argument);
#pragma unroll
      for (int k = 0; k < kCount; k++) gradient[k] += argument[k];
    }
    store_floats(dx + i, gradient);
  }
};

}  // namespace
}  // namespace remoe

using namespace remoe;

int32_t remoe_unary(uint64_t context, int32_t operation, int32_t dtype, uint64_t target, uint64_t x,
                    float parameter, uint64_t count) {
  return guard(context, "unary", [&](Operation& op) {
    require_operation(operation, REMOE_SHIFT);
    require_float(dtype);
    void* to = require_elements(target, dtype, "target");
    const void* from = require_elements(x, dtype, "x");
    require_count(count);
    with_activations(dtype, [&](auto type) {
      using T = decltype(type);
      constexpr int kCount = kWidth<T>;
      const UnaryBody<T> body = {static_cast<T*>(to), static_cast<const T*>(from), operation,
                                 parameter};
      launch_each<kCount>(op, body, count,
                          starts_runs<kCount>(body.target) && starts_runs<kCount>(body.x));
    });
  });
}

int32_t remoe_unary_gradient(uint64_t context, int32_t operation, int32_t dtype, uint64_t dx,
                             uint64_t dy, uint64_t x, float parameter, uint64_t count,
                             int32_t accumulate) {
  return guard(context, "unary_gradient", [&](Operation& op) {
    require_operation(operation, REMOE_SHIFT);
    require_float(dtype);
    void* to = require_elements(dx, dtype, "dx");
    const void* from = require_elements(dy, dtype, "dy");
    const void* argument = require_elements(x, dtype, "x");
    require_count(count);
    with_activations(dtype, [&](auto type) {
      using T = decltype(type);
      constexpr int kCount = kWidth<T>;
      const UnaryGradientBody<T> body = {.dx = static_cast<T*>(to),
                                         .dy = static_cast<const T*>(from),
                                         .x = static_cast<const T*>(argument),
                                         .operation = operation,
                                         .parameter = parameter,
                                         .accumulate = (accumulate & 1) != 0};
      launch_each<kCount>(op, body, count,
                          starts_runs<kCount>(body.dx) && starts_runs<kCount>(body.dy) &&
                              starts_runs<kCount>(body.x));
    });
  });
}

// Elementwise functions of one operand, and their derivatives.
#include "per_isa/kernel.h"
#include "per_isa/simd/vector_math.h"
#include "runtime/fp32_view.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

// Calls body(f) with f the function named by `operation`.
template <class Body>
void with_function(int operation, float parameter, Body&& body) {
  const Vec p = broadcast(parameter);
  switch (operation) {
    case REMOE_NEGATE:
      return body([](Vec x) { return -x; });
    case REMOE_EXP:
      return body([](Vec x) { return exponential(x); });
    case REMOE_LOG:
      return body([](Vec x) { return logarithm(x); });
    case REMOE_SQRT:
      return body([](Vec x) { return square_root(x); });
    case REMOE_SQUARE:
      return body([](Vec x) { return x * x; });
    case REMOE_RELU:  // this order keeps NaN
      return body([](Vec x) { return x < Vec{} ? Vec{} : x; });
    case REMOE_SIGMOID:
      return body([](Vec x) { return sigmoid(x); });
    case REMOE_SILU:
      return body([](Vec x) { return silu(x); });
    case REMOE_TANH:
      return body([](Vec x) { return hyperbolic_tangent(x); });
    case REMOE_SCALE:
      return body([p](Vec x) { return p * x; });
    default:
      return body([p](Vec x) { return p + x; });
  }
}

// Calls body(f) with f(x, dy) = op'(x) * dy.
template <class Body>
void with_gradient(int operation, float parameter, Body&& body) {
  const Vec p = broadcast(parameter);
  switch (operation) {
    case REMOE_NEGATE:
      return body([](Vec, Vec dy) { return -dy; });
    case REMOE_EXP:
      return body([](Vec x, Vec dy) { return exponential(x) * dy; });
    case REMOE_LOG:
      return body([](Vec x, Vec dy) { return dy / x; });
    case REMOE_SQRT:
      return body([](Vec x, Vec dy) { return 0.5f * dy / square_root(x); });
    case REMOE_SQUARE:
      return body([](Vec x, Vec dy) { return 2.0f * x * dy; });
    case REMOE_RELU:
      return body([](Vec x, Vec dy) { return x > Vec{} ? dy : Vec{}; });
    case REMOE_SIGMOID:
      return body([](Vec x, Vec dy) {
        const Vec s = sigmoid(x);
        return s * (1.0f - s) * dy;
      });
    case REMOE_SILU:
      return body([](Vec x, Vec dy) { return silu_derivative(x, sigmoid(x)) * dy; });
    case REMOE_TANH:
      return body([](Vec x, Vec dy) {
        const Vec t = hyperbolic_tangent(x);
        return (1.0f - t * t) * dy;
      });
    case REMOE_SCALE:
      return body([p](Vec, Vec dy) { return p * dy; });
    default:
      return body([](Vec, Vec dy) { return dy; });
  }
}

// Approximate cost per element, in simple operations.
int64_t cost_of(int operation) {
  const bool transcendental = operation == REMOE_EXP || operation == REMOE_LOG ||
                              operation == REMOE_SIGMOID || operation == REMOE_SILU ||
                              operation == REMOE_TANH;
  return transcendental ? 4 : 1;
}

}  // namespace

void unary_f32(const Context& context, int operation, float* target, const float* x,
               float parameter, int64_t count) {
  with_function(operation, parameter, [&](auto f) {
    parallel_ranges(context, count, cost_of(operation), [&](int64_t begin, int64_t end) {
      map(target + begin, x + begin, end - begin, f);
    });
  });
}

void unary_gradient_f32(const Context& context, int operation, float* dx, const float* dy,
                        const float* x, float parameter, int64_t count, bool accumulate) {
  with_gradient(operation, parameter, [&](auto f) {
    parallel_ranges(context, count, cost_of(operation), [&](int64_t begin, int64_t end) {
      int64_t i = begin;
      for (; i + kLanes <= end; i += kLanes) {
        const Vec gradient = f(load(x + i), load(dy + i));
        store(dx + i, accumulate ? load(dx + i) + gradient : gradient);
      }
      if (i == end) return;
      const int64_t left = end - i;
      const Vec gradient = f(load_partial(x + i, left), load_partial(dy + i, left));
      store_partial(dx + i, accumulate ? load_partial(dx + i, left) + gradient : gradient, left);
    });
  });
}

void accumulate_f32(const Context& context, float* target, const float* x, float scale,
                    int64_t count) {
  parallel_ranges(context, count, 1, [&](int64_t begin, int64_t end) {
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) target[i] += scale * x[i];
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(unary_f32)
REMOE_KERNEL(unary_gradient_f32)
REMOE_KERNEL(accumulate_f32)

using namespace remoe;

int32_t remoe_unary(uint64_t context, int32_t operation, int32_t dtype, uint64_t target, uint64_t x,
                    float parameter, uint64_t count) {
  return guard(context, "unary", [&](Context& c) {
    require_operation(operation, REMOE_SHIFT);
    require_float(dtype);
    const int64_t n = require_count(count);
    const Fp32Operand operand(c, dtype, x, n, "x");
    Fp32Target result(c, dtype, target, n, false, "target");
    REMOE_DISPATCH(c, unary_f32, operation, result.data(), operand.data(), parameter, n);
    result.commit();
  });
}

int32_t remoe_unary_gradient(uint64_t context, int32_t operation, int32_t dtype, uint64_t dx,
                             uint64_t dy, uint64_t x, float parameter, uint64_t count,
                             int32_t accumulate) {
  return guard(context, "unary_gradient", [&](Context& c) {
    require_operation(operation, REMOE_SHIFT);
    require_float(dtype);
    const int64_t n = require_count(count);
    const bool adds = (accumulate & 1) != 0;
    const Fp32Operand gradient(c, dtype, dy, n, "dy"), operand(c, dtype, x, n, "x");
    Fp32Target result(c, dtype, dx, n, adds, "dx");
    REMOE_DISPATCH(c, unary_gradient_f32, operation, result.data(), gradient.data(), operand.data(),
                   parameter, n, adds);
    result.commit();
  });
}

int32_t remoe_accumulate(uint64_t context, int32_t dtype, uint64_t target, int32_t dtype_x,
                         uint64_t x, float scale, uint64_t count) {
  return guard(context, "accumulate", [&](Context& c) {
    require_float(dtype);
    require_float(dtype_x);
    const int64_t n = require_count(count);
    const Fp32Operand operand(c, dtype_x, x, n, "x");
    Fp32Target result(c, dtype, target, n, true, "target");
    REMOE_DISPATCH(c, accumulate_f32, result.data(), operand.data(), scale, n);
    result.commit();
  });
}
#endif  // REMOE_ENTRY_POINTS

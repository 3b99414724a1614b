// Elementwise functions of one operand, and their derivatives.
#include "per_isa/kernel.h"
#include "per_isa/simd/vector_math.h"
#include "runtime/dtype.h"
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

template <class T>
void apply(const Context& context, int operation, T* target, const T* x, float parameter,
           int64_t count) {
  with_function(operation, parameter, [&](auto f) {
    parallel_ranges(context, count, cost_of(operation), [&](int64_t begin, int64_t end) {
      map(target + begin, x + begin, end - begin, f);
    });
  });
}

template <class T>
void gradient(const Context& context, int operation, T* dx, const T* dy, const T* x,
              float parameter, int64_t count, bool accumulate) {
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

}  // namespace

void unary(const Context& context, int operation, int32_t dtype, void* target, const void* x,
           float parameter, int64_t count) {
  with_element(dtype, [&]<class T>() {
    apply(context, operation, static_cast<T*>(target), static_cast<const T*>(x), parameter, count);
  });
}

void unary_gradient(const Context& context, int operation, int32_t dtype, void* dx, const void* dy,
                    const void* x, float parameter, int64_t count, bool accumulate) {
  with_element(dtype, [&]<class T>() {
    gradient(context, operation, static_cast<T*>(dx), static_cast<const T*>(dy),
             static_cast<const T*>(x), parameter, count, accumulate);
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(unary)
REMOE_KERNEL(unary_gradient)

using namespace remoe;

int32_t remoe_unary(uint64_t context, int32_t operation, int32_t dtype, uint64_t target, uint64_t x,
                    float parameter, uint64_t count) {
  return guard(context, "unary", [&](Context& c) {
    require_operation(operation, REMOE_SHIFT);
    require_float(dtype);
    REMOE_DISPATCH(c, unary, operation, dtype, require_elements(target, dtype, "target"),
                   require_elements(x, dtype, "x"), parameter, require_count(count));
  });
}

int32_t remoe_unary_gradient(uint64_t context, int32_t operation, int32_t dtype, uint64_t dx,
                             uint64_t dy, uint64_t x, float parameter, uint64_t count,
                             int32_t accumulate) {
  return guard(context, "unary_gradient", [&](Context& c) {
    require_operation(operation, REMOE_SHIFT);
    require_float(dtype);
    REMOE_DISPATCH(c, unary_gradient, operation, dtype, require_elements(dx, dtype, "dx"),
                   require_elements(dy, dtype, "dy"), require_elements(x, dtype, "x"), parameter,
                   require_count(count), (accumulate & 1) != 0);
  });
}
#endif  // REMOE_ENTRY_POINTS

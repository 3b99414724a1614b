// Conversions between dtypes.

#include <cmath>
#include <type_traits>

#include "runtime/dtype.h"
#include "tensor/each_element.h"

namespace remoe {
namespace {

// Truncates; out-of-range values saturate to int32, and NaN becomes 0.
template <class F>
__device__ __forceinline__ int32_t truncated(F x) {
  constexpr F kLow = static_cast<F>(INT32_MIN);
  if (!(x >= kLow)) return x < kLow ? INT32_MIN : 0;
  if (x >= -kLow) return INT32_MAX;
  return static_cast<int32_t>(x);
}

// From fp64 with a single rounding: an fp32 rounded to odd (towards 0, with the last bit set if
// anything was lost) keeps what the second rounding needs to know.
__device__ __forceinline__ Bf16 bf16_of(double x) {
  const float nearest = static_cast<float>(x);
  uint32_t bits = __float_as_uint(nearest);
  const bool inexact = static_cast<double>(nearest) != x && x == x;
  if (inexact) {
    if (fabs(static_cast<double>(nearest)) > fabs(x)) bits--;
    bits |= 1;
  }
  return to_bf16(__uint_as_float(bits));
}

// bf16 is widened on load; every conversion rounds once.
template <class T>
__device__ __forceinline__ T widened(T x) {
  return x;
}
__device__ __forceinline__ float widened(Bf16 x) { return to_float(x); }

template <class Target, class Source>
__device__ __forceinline__ Target converted(Source x) {
  if constexpr (std::is_same_v<Target, Bf16>) {
    // int32 through fp64, which holds it exactly
    if constexpr (std::is_same_v<Source, float>) {
      return to_bf16(x);
    } else {
      return bf16_of(static_cast<double>(x));
    }
  } else if constexpr (std::is_same_v<Target, int32_t> && std::is_floating_point_v<Source>) {
    return truncated(x);
  } else {
    return static_cast<Target>(x);
  }
}

template <class Target, class Source>
struct CastBody {
  Target* target;
  const Source* source;

  template <int kCount>
  __device__ __forceinline__ void at(uint64_t i) const {
    const Vector<Source, kCount> from = load_vector<Source, kCount>(source + i);
    Vector<Target, kCount> to;
#pragma unroll
    for (int k = 0; k < kCount; k++) to.element[k] = converted<Target>(widened(from.element[k]));
    store_vector(target + i, to);
  }
};

// Runs body(T{}) with the type of elements of `dtype`.
template <class Body>
void with_elements(int32_t dtype, Body&& body) {
  switch (dtype) {
    case REMOE_F32:
      return body(float{});
    case REMOE_BF16:
      return body(Bf16{});
    case REMOE_I32:
      return body(int32_t{});
    default:
      return body(double{});
  }
}

}  // namespace
}  // namespace remoe

int32_t remoe_cast(uint64_t context, int32_t target_dtype, uint64_t target, int32_t source_dtype,
                   uint64_t source, uint64_t count) {
  using namespace remoe;
  return guard(context, "cast", [&](Operation& op) {
    void* to = require_elements(target, target_dtype, "target");
    const void* from = require_elements(source, source_dtype, "source");
    require_count(count);
    with_elements(target_dtype, [&](auto target_type) {
      with_elements(source_dtype, [&](auto source_type) {
        using Target = decltype(target_type);
        using Source = decltype(source_type);
        constexpr int kCount = kWidth<Target, Source>;
        const CastBody<Target, Source> body = {static_cast<Target*>(to),
                                               static_cast<const Source*>(from)};
        launch_each<kCount>(op, body, count,
                            starts_runs<kCount>(body.target) && starts_runs<kCount>(body.source));
      });
    });
  });
}

// Conversions between dtypes, and fills.
#include "per_isa/tensor/cast.h"

#include <cstring>
#include <limits>

#include "per_isa/kernel.h"
#include "per_isa/simd/bf16.h"
#include "runtime/dtype.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

// Truncates; out-of-range values saturate to int32, and NaN becomes 0.
template <class F>
int32_t truncate(F x) {
  constexpr F kLow = static_cast<F>(std::numeric_limits<int32_t>::min());
  if (!(x >= kLow)) return x < kLow ? std::numeric_limits<int32_t>::min() : 0;
  if (x >= -kLow) return std::numeric_limits<int32_t>::max();
  return static_cast<int32_t>(x);
}

// bf16 is widened on load; every conversion rounds once.
template <class T>
T read(T x) {
  return x;
}
float read(Bf16 x) { return to_float(x); }

template <class Target, class Source>
Target convert(Source x) {
  if constexpr (std::is_same_v<Target, Bf16>) {
    // int32 through fp64, which holds it exactly
    if constexpr (std::is_same_v<Source, int32_t>)
      return to_bf16(static_cast<double>(x));
    else
      return to_bf16(x);
  } else if constexpr (std::is_same_v<Target, int32_t> && std::is_floating_point_v<Source>) {
    return truncate(x);
  } else {
    return static_cast<Target>(x);
  }
}

template <class Target, class Source>
void cast_all(const Context& context, void* target, const void* source, int64_t count) {
  Target* to = static_cast<Target*>(target);
  const Source* from = static_cast<const Source*>(source);
  parallel_ranges(context, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = convert<Target>(read(from[i]));
  });
}

template <class Target>
void cast_to(const Context& context, void* target, int32_t source_dtype, const void* source,
             int64_t count) {
  switch (source_dtype) {
    case REMOE_F32:
      return cast_all<Target, float>(context, target, source, count);
    case REMOE_BF16:
      return cast_all<Target, Bf16>(context, target, source, count);
    case REMOE_I32:
      return cast_all<Target, int32_t>(context, target, source, count);
    default:
      return cast_all<Target, double>(context, target, source, count);
  }
}

template <class T>
void fill_all(const Context& context, void* target, double value, int64_t count) {
  T* to = static_cast<T*>(target);
  const T element = convert<T>(value);
  parallel_ranges(context, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = element;
  });
}

}  // namespace

void cast(const Context& context, int32_t target_dtype, void* target, int32_t source_dtype,
          const void* source, int64_t count) {
  switch (target_dtype) {
    case REMOE_F32:
      return cast_to<float>(context, target, source_dtype, source, count);
    case REMOE_BF16:
      return cast_to<Bf16>(context, target, source_dtype, source, count);
    case REMOE_I32:
      return cast_to<int32_t>(context, target, source_dtype, source, count);
    default:
      return cast_to<double>(context, target, source_dtype, source, count);
  }
}

void fill(const Context& context, int32_t dtype, void* target, double value, int64_t count) {
  switch (dtype) {
    case REMOE_F32:
      return fill_all<float>(context, target, value, count);
    case REMOE_BF16:
      return fill_all<Bf16>(context, target, value, count);
    case REMOE_I32:
      return fill_all<int32_t>(context, target, value, count);
    default:
      return fill_all<double>(context, target, value, count);
  }
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(fill)

using namespace remoe;

int32_t remoe_cast(uint64_t context, int32_t target_dtype, uint64_t target, int32_t source_dtype,
                   uint64_t source, uint64_t count) {
  return guard(context, "cast", [&](Context& c) {
    void* to = require_elements(target, target_dtype, "target");
    const void* from = require_elements(source, source_dtype, "source");
    REMOE_DISPATCH(c, cast, target_dtype, to, source_dtype, from, require_count(count));
  });
}

int32_t remoe_fill(uint64_t context, int32_t dtype, uint64_t target, double value, uint64_t count) {
  return guard(context, "fill", [&](Context& c) {
    void* elements = require_elements(target, dtype, "target");
    REMOE_DISPATCH(c, fill, dtype, elements, value, require_count(count));
  });
}
#endif  // REMOE_ENTRY_POINTS

// target += scale * x.
#include "per_isa/kernel.h"
#include "per_isa/simd/elements.h"
#include "runtime/dtype.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

template <class T, class X>
void add_scaled(const Context& context, T* target, const X* x, float scale, int64_t count) {
  parallel_ranges(context, count, 1, [&](int64_t begin, int64_t end) {
    each_vector(end - begin, [&](auto at, int64_t i) {
      at.store(target + begin + i, at.load(target + begin + i) + scale * at.load(x + begin + i));
    });
  });
}

}  // namespace

void accumulate(const Context& context, int32_t dtype, void* target, int32_t dtype_x, const void* x,
                float scale, int64_t count) {
  with_element(dtype, [&]<class T>() {
    with_element(dtype_x, [&]<class X>() {
      add_scaled(context, static_cast<T*>(target), static_cast<const X*>(x), scale, count);
    });
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(accumulate)

using namespace remoe;

int32_t remoe_accumulate(uint64_t context, int32_t dtype, uint64_t target, int32_t dtype_x,
                         uint64_t x, float scale, uint64_t count) {
  return guard(context, "accumulate", [&](Context& c) {
    require_float(dtype);
    require_float(dtype_x);
    REMOE_DISPATCH(c, accumulate, dtype, require_elements(target, dtype, "target"), dtype_x,
                   require_elements(x, dtype_x, "x"), scale, require_count(count));
  });
}
#endif  // REMOE_ENTRY_POINTS

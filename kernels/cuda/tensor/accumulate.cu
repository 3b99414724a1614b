// target += scale * x.

#include <cmath>

#include "runtime/dtype.h"
#include "tensor/each_element.h"

namespace remoe {
namespace {

template <class T, class X>
struct AccumulateBody {
  T* target;
  const X* x;
  float scale;

  template <int kCount>
  __device__ __forceinline__ void at(uint64_t i) const {
    float sum[kCount];
    float term[kCount];
    load_floats(target + i, sum);
    load_floats(x + i, term);
#pragma unroll
    for (int k = 0; k < kCount; k++) sum[k] = fmaf(scale, term[k], sum[k]);
    store_floats(target + i, sum);
  }
};

}  // namespace
}  // namespace remoe

int32_t remoe_accumulate(uint64_t context, int32_t dtype, uint64_t target, int32_t dtype_x,
                         uint64_t x, float scale, uint64_t count) {
  using namespace remoe;
  return guard(context, "accumulate", [&](Operation& op) {
    require_float(dtype);
    require_float(dtype_x);
    void* to = require_elements(target, dtype, "target");
    const void* from = require_elements(x, dtype_x, "x");
    require_count(count);
    with_activations(dtype, [&](auto type) {
      with_activations(dtype_x, [&](auto type_x) {
        using T = decltype(type);
        using X = decltype(type_x);
        constexpr int kCount = kWidth<T, X>;
        const AccumulateBody<T, X> body = {static_cast<T*>(to), static_cast<const X*>(from), scale};
        launch_each<kCount>(op, body, count,
                            starts_runs<kCount>(body.target) && starts_runs<kCount>(body.x));
      });
    });
  });
}

// a (op) b with broadcasting.

#include <type_traits>

#include "runtime/dtype.h"
#include "tensor/each_element.h"
#include "tensor/strides.h"

namespace remoe {
namespace {

// Integers wrap around, hence uint32_t, which has the same bits as int32_t.
template <class T>
using Value = std::conditional_t<std::is_same_v<T, uint32_t>, uint32_t, float>;

__device__ __forceinline__ uint32_t widened(uint32_t x) { return x; }
template <class T>
__device__ __forceinline__ float widened(T x) {
  return to_float(x);
}

// kCount elements from `from` on, or one of them as often if the inner stride is 0.
template <int kCount, class T>
__device__ __forceinline__ void load_run(const T* from, bool is_same, Value<T> (&to)[kCount]) {
  if (kCount > 1 && !is_same) {
    const Vector<T, kCount> vector = load_vector<T, kCount>(from);
#pragma unroll
    for (int k = 0; k < kCount; k++) to[k] = widened(vector.element[k]);
  } else {
    const Value<T> value = widened(*from);
#pragma unroll
    for (int k = 0; k < kCount; k++) to[k] = value;
  }
}

template <int kCount>
__device__ __forceinline__ void store_run(uint32_t* to, const uint32_t (&from)[kCount]) {
  Vector<uint32_t, kCount> vector;
#pragma unroll
  for (int k = 0; k < kCount; k++) vector.element[k] = from[k];
  store_vector(to, vector);
}
template <int kCount, class T>
__device__ __forceinline__ void store_run(T* to, const float (&from)[kCount]) {
  store_floats(to, from);
}

template <class T>
struct BinaryBody {
  T* target;  // may be a or b
  const T* a;
  const T* b;
  int operation;
  Strides<2> strides;

  template <int kCount>
  __device__ __forceinline__ void at(uint64_t i) const {
    uint64_t offset[2];
    strides.offsets(i, offset);
    Value<T> x[kCount];
    Value<T> y[kCount];
    load_run<kCount>(a + offset[0], strides.stride[0][0] == 0, x);
    load_run<kCount>(b + offset[1], strides.stride[1][0] == 0, y);
    if (operation == REMOE_ADD) {
#pragma unroll
      for (int k = 0; k < kCount; k++) x[k] = x[k] + y[k];
    } else if (operation == REMOE_SUBTRACT) {
#pragma unroll
      for (int k = 0; k < kCount; k++) x[k] = x[k] - y[k];
    } else if (operation == REMOE_MULTIPLY) {
#pragma unroll
      for (int k = 0; k < kCount; k++) x[k] = x[k] * y[k];
    } else if constexpr (!std::is_same_v<T, uint32_t>) {
#pragma unroll
      for (int k = 0; k < kCount; k++) x[k] = x[k] / y[k];
    }
    store_run(target + i, x);
  }
};

template <class T>
void apply(Operation& op, int operation, void* target, const void* a, const void* b,
           const StridedLayout& layout) {
  constexpr int kCount = kWidth<T>;
  const BinaryBody<T> body = {
      .target = static_cast<T*>(target),
      .a = static_cast<const T*>(a),
      .b = static_cast<const T*>(b),
      .operation = operation,
      .strides = Strides<2>(layout),
  };
  const auto in_runs = [&](const T* operand, int x) {
    return has_runs(layout, x, kCount) &&
           (layout.inner_stride(x) == 0 || starts_runs<kCount>(operand));
  };
  launch_each<kCount>(op, body, layout.count,
                      starts_runs<kCount>(body.target) && in_runs(body.a, 0) && in_runs(body.b, 1));
}

}  // namespace
}  // namespace remoe

int32_t remoe_binary(uint64_t context, int32_t operation, int32_t dtype, uint64_t target,
                     uint64_t a, uint64_t b, const int32_t* layout) {
  using namespace remoe;
  return guard(context, "binary", [&](Operation& op) {
    require_operation(operation, REMOE_DIVIDE);
    const StridedLayout strides = read_strided_layout(layout, 2);
    if (dtype == REMOE_I32) {
      if (operation == REMOE_DIVIDE) fail(REMOE_UNSUPPORTED, "integer division is not supported");
    } else {
      require_float(dtype);
    }
    void* to = require_elements(target, dtype, "target");
    const void* left = require_elements(a, dtype, "a");
    const void* right = require_elements(b, dtype, "b");
    if (dtype == REMOE_I32) return apply<uint32_t>(op, operation, to, left, right, strides);
    with_activations(
        dtype, [&](auto type) { apply<decltype(type)>(op, operation, to, left, right, strides); });
  });
}

// a (op) b with broadcasting.
#include "per_isa/kernel.h"
#include "per_isa/tensor/walk.h"
#include "runtime/fp32_view.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
};
struct Subtract {
  template <class T>
  T operator()(T a, T b) const {
    return a - b;
  }
};
struct Multiply {
  template <class T>
  T operator()(T a, T b) const {
    return a * b;
  }
};
struct Divide {
  template <class T>
  T operator()(T a, T b) const {
    return a / b;
  }
};

// One run. The strides that matter get loops of their own, which vectorise. ivdep: the target may
// alias an operand exactly.
template <class T, class Operation>
void run(T* target, const T* a, int64_t stride_a, const T* b, int64_t stride_b, int64_t n,
         Operation operation) {
  if (stride_a == 1 && stride_b == 1) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) target[i] = operation(a[i], b[i]);
  } else if (stride_a == 1 && stride_b == 0) {
    const T value = *b;
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) target[i] = operation(a[i], value);
  } else if (stride_a == 0 && stride_b == 1) {
    const T value = *a;
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) target[i] = operation(value, b[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) target[i] = operation(a[i * stride_a], b[i * stride_b]);
  }
}

template <class T, class Operation>
void apply(const Context& context, T* target, const T* a, const T* b, const StridedLayout& layout,
           Operation operation) {
  parallel_ranges(context, layout.count, 1, [&](int64_t begin, int64_t end) {
    walk_runs(layout, begin, end, [&](int64_t at, const int64_t* offset, int64_t n) {
      run(target + at, a + offset[0], layout.inner_stride(0), b + offset[1], layout.inner_stride(1),
          n, operation);
    });
  });
}

}  // namespace

void binary_f32(const Context& context, int operation, float* target, const float* a,
                const float* b, const StridedLayout& layout) {
  switch (operation) {
    case REMOE_ADD:
      return apply(context, target, a, b, layout, Add{});
    case REMOE_SUBTRACT:
      return apply(context, target, a, b, layout, Subtract{});
    case REMOE_MULTIPLY:
      return apply(context, target, a, b, layout, Multiply{});
    default:
      return apply(context, target, a, b, layout, Divide{});
  }
}

// Integers wrap around, hence uint32_t, which has the same bits as int32_t.
void binary_i32(const Context& context, int operation, uint32_t* target, const uint32_t* a,
                const uint32_t* b, const StridedLayout& layout) {
  switch (operation) {
    case REMOE_ADD:
      return apply(context, target, a, b, layout, Add{});
    case REMOE_SUBTRACT:
      return apply(context, target, a, b, layout, Subtract{});
    default:
      return apply(context, target, a, b, layout, Multiply{});
  }
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(binary_i32)
REMOE_KERNEL(binary_f32)

using namespace remoe;

namespace {

void binary_integers(Context& context, int32_t operation, uint64_t target, uint64_t a, uint64_t b,
                     const StridedLayout& layout) {
  require(operation != REMOE_DIVIDE, REMOE_UNSUPPORTED, "integer division is not supported");
  REMOE_DISPATCH(context, binary_i32, operation, require_address<uint32_t>(target, "target"),
                 require_address<const uint32_t>(a, "a"), require_address<const uint32_t>(b, "b"),
                 layout);
}

void binary_floats(Context& context, int32_t operation, int32_t dtype, uint64_t target, uint64_t a,
                   uint64_t b, const StridedLayout& layout) {
  require_float(dtype);
  const Fp32Operand left(context, dtype, a, layout.extent(0), "a");
  const Fp32Operand right(context, dtype, b, layout.extent(1), "b");
  Fp32Target result(context, dtype, target, layout.count, false, "target");
  REMOE_DISPATCH(context, binary_f32, operation, result.data(), left.data(), right.data(), layout);
  result.commit();
}

}  // namespace

int32_t remoe_binary(uint64_t context, int32_t operation, int32_t dtype, uint64_t target,
                     uint64_t a, uint64_t b, const int32_t* layout) {
  return guard(context, "binary", [&](Context& c) {
    require_operation(operation, REMOE_DIVIDE);
    const StridedLayout strides = read_strided_layout(layout, 2);
    if (dtype == REMOE_I32) {
      binary_integers(c, operation, target, a, b, strides);
    } else {
      binary_floats(c, operation, dtype, target, a, b, strides);
    }
  });
}
#endif  // REMOE_ENTRY_POINTS

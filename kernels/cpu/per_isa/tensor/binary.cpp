// a (op) b with broadcasting.
#include <type_traits>

#include "per_isa/kernel.h"
#include "per_isa/simd/elements.h"
#include "per_isa/tensor/walk.h"
#include "runtime/dtype.h"
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

// Integers wrap around, hence uint32_t, which has the same bits as int32_t.
struct IntegerAccess {
  uint32_t load(const uint32_t* p) const { return *p; }
  void store(uint32_t* p, uint32_t x) const { *p = x; }
  uint32_t splat(uint32_t x) const { return x; }
};

// Calls body(access, i) for the places [0, n). ivdep: the target may alias an operand exactly.
template <class T, class Body>
REMOE_INLINE void each_place(int64_t n, Body&& body) {
  if constexpr (std::is_same_v<T, uint32_t>) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) body(IntegerAccess{}, i);
  } else {
    each_vector(n, body);
  }
}

// One run. The strides that matter get loops of their own.
template <class T, class Operation>
void run(T* target, const T* a, int64_t stride_a, const T* b, int64_t stride_b, int64_t n,
         Operation operation) {
  using Single = std::conditional_t<std::is_same_v<T, uint32_t>, IntegerAccess, ElementAccess>;
  constexpr Single single;
  if (stride_a == 1 && stride_b == 1) {
    each_place<T>(n, [&](auto at, int64_t i) {
      at.store(target + i, operation(at.load(a + i), at.load(b + i)));
    });
  } else if (stride_a == 1 && stride_b == 0) {
    const auto value = single.load(b);
    each_place<T>(n, [&](auto at, int64_t i) {
      at.store(target + i, operation(at.load(a + i), at.splat(value)));
    });
  } else if (stride_a == 0 && stride_b == 1) {
    const auto value = single.load(a);
    each_place<T>(n, [&](auto at, int64_t i) {
      at.store(target + i, operation(at.splat(value), at.load(b + i)));
    });
  } else {
    for (int64_t i = 0; i < n; ++i) {
      single.store(target + i,
                   operation(single.load(a + i * stride_a), single.load(b + i * stride_b)));
    }
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

template <class T>
void floats(const Context& context, int operation, T* target, const T* a, const T* b,
            const StridedLayout& layout) {
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

}  // namespace

void binary_floats(const Context& context, int operation, int32_t dtype, void* target,
                   const void* a, const void* b, const StridedLayout& layout) {
  with_element(dtype, [&]<class T>() {
    floats(context, operation, static_cast<T*>(target), static_cast<const T*>(a),
           static_cast<const T*>(b), layout);
  });
}

void binary_integers(const Context& context, int operation, uint32_t* target, const uint32_t* a,
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
REMOE_KERNEL(binary_floats)
REMOE_KERNEL(binary_integers)

using namespace remoe;

int32_t remoe_binary(uint64_t context, int32_t operation, int32_t dtype, uint64_t target,
                     uint64_t a, uint64_t b, const int32_t* layout) {
  return guard(context, "binary", [&](Context& c) {
    require_operation(operation, REMOE_DIVIDE);
    const StridedLayout strides = read_strided_layout(layout, 2);
    if (dtype == REMOE_I32) {
      require(operation != REMOE_DIVIDE, REMOE_UNSUPPORTED, "integer division is not supported");
      REMOE_DISPATCH(c, binary_integers, operation, require_address<uint32_t>(target, "target"),
                     require_address<const uint32_t>(a, "a"),
                     require_address<const uint32_t>(b, "b"), strides);
      return;
    }
    require_float(dtype);
    REMOE_DISPATCH(c, binary_floats, operation, dtype, require_elements(target, dtype, "target"),
                   require_elements(a, dtype, "a"), require_elements(b, dtype, "b"), strides);
  });
}
#endif  // REMOE_ENTRY_POINTS

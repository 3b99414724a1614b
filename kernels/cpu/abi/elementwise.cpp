// Elementwise operations, casts, strided copies, random numbers.
#include "runtime/fp32_view.h"

using namespace remoe;

namespace {

void require_operation(int32_t operation, int32_t last) {
  require(operation >= 0 && operation <= last, REMOE_INVALID_ARGUMENT, "operation %d is unknown",
          operation);
}

void binary_integers(Context& context, int32_t operation, uint64_t target, uint64_t a, uint64_t b,
                     const StridedLayout& layout) {
  require(operation != REMOE_DIVIDE, REMOE_UNSUPPORTED, "integers are not divided");
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

extern "C" {

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

int32_t remoe_accumulate(uint64_t context, int32_t dtype, uint64_t target, uint64_t x, float scale,
                         uint64_t count) {
  return guard(context, "accumulate", [&](Context& c) {
    require_float(dtype);
    const int64_t n = require_count(count);
    const Fp32Operand operand(c, dtype, x, n, "x");
    Fp32Target result(c, dtype, target, n, true, "target");
    REMOE_DISPATCH(c, accumulate_f32, result.data(), operand.data(), scale, n);
    result.commit();
  });
}

int32_t remoe_cast(uint64_t context, int32_t target_dtype, uint64_t target, int32_t source_dtype,
                   uint64_t source, uint64_t count) {
  return guard(context, "cast", [&](Context& c) {
    void* to = require_elements(target, target_dtype, "target");
    const void* from = require_elements(source, source_dtype, "source");
    REMOE_DISPATCH(c, cast, target_dtype, to, source_dtype, from, require_count(count));
  });
}

int32_t remoe_copy_strided(uint64_t context, int32_t dtype, uint64_t target, uint64_t source,
                           const int32_t* layout) {
  return guard(context, "copy_strided", [&](Context& c) {
    void* to = require_elements(target, dtype, "target");
    const void* from = require_elements(source, dtype, "source");
    const StridedLayout strides = read_strided_layout(layout, 1);
    REMOE_DISPATCH(c, copy_strided, bytes_of(dtype), to, from, strides);
  });
}

int32_t remoe_random(uint64_t context, int32_t distribution, uint64_t target, uint64_t count,
                     double a, double b, uint64_t seed, uint32_t operation, uint32_t step) {
  return guard(context, "random", [&](Context& c) {
    require(distribution == REMOE_UNIFORM || distribution == REMOE_NORMAL, REMOE_INVALID_ARGUMENT,
            "distribution %d is unknown", distribution);
    REMOE_DISPATCH(c, random, distribution, require_address<float>(target, "target"),
                   require_count(count), static_cast<float>(a), static_cast<float>(b), seed,
                   operation, step);
  });
}
}

// Reductions and softmax.
#include "runtime/fp32_view.h"

using namespace remoe;

extern "C" {

int32_t remoe_reduce(uint64_t context, int32_t operation, int32_t dtype, uint64_t target,
                     uint64_t x, const int32_t* layout, int32_t accumulate) {
  return guard(context, "reduce", [&](Context& c) {
    require(operation >= REMOE_SUM && operation <= REMOE_MAXIMUM, REMOE_INVALID_ARGUMENT,
            "operation %d is unknown", operation);
    require_float(dtype);
    const ReductionLayout axes = read_reduction_layout(layout);
    const bool adds = (accumulate & 1) != 0;
    const Fp32Operand operand(c, dtype, x, axes.count, "x");
    Fp32Target result(c, dtype, target, axes.kept_count, adds, "target");
    REMOE_DISPATCH(c, reduce_f32, operation, result.data(), operand.data(), axes, adds);
    result.commit();
  });
}

int32_t remoe_softmax(uint64_t context, uint64_t target, uint64_t x, int32_t rows,
                      int32_t columns) {
  return guard(context, "softmax", [&](Context& c) {
    require_size(rows, "rows");
    require_size(columns, "columns");
    REMOE_DISPATCH(c, softmax, require_address<float>(target, "target"),
                   require_address<const float>(x, "x"), rows, columns);
  });
}

int32_t remoe_softmax_gradient(uint64_t context, uint64_t dx, uint64_t dy, uint64_t y, int32_t rows,
                               int32_t columns, int32_t accumulate) {
  return guard(context, "softmax_gradient", [&](Context& c) {
    require_size(rows, "rows");
    require_size(columns, "columns");
    REMOE_DISPATCH(c, softmax_gradient, require_address<float>(dx, "dx"),
                   require_address<const float>(dy, "dy"), require_address<const float>(y, "y"),
                   rows, columns, (accumulate & 1) != 0);
  });
}
}

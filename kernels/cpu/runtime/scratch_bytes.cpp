// How much scratch memory an operation takes.
#include "per_isa/scratch_bytes.h"

#include <algorithm>
#include <initializer_list>

#include "runtime/dtype.h"

using namespace remoe;

namespace {

// Beyond every address; a double holds it exactly.
constexpr double kMostBytes = 0x1p62;

void require_sizes(const int32_t* sizes, std::initializer_list<const char*> names) {
  for (const char* name : names) require_size(*sizes++, name);
}

double experts_gradient_bytes(Context& context, int32_t dtype, const int32_t* sizes) {
  require_sizes(sizes, {"rows"});
  require(sizes[1] >= 0, REMOE_INVALID_ARGUMENT, "kept_rows is %d, but at least 0 is needed",
          sizes[1]);
  require_sizes(sizes + 2, {"tokens", "hidden", "width", "experts"});
  if (dtype == REMOE_BF16) {
    return REMOE_DISPATCH_BF16(context, experts_gradient_bf16_scratch, sizes[0], sizes[1], sizes[2],
                               sizes[3], sizes[4], sizes[5]);
  }
  return REMOE_DISPATCH(context, experts_gradient_scratch, sizes[0], sizes[1], sizes[2], sizes[3],
                        sizes[4], sizes[5]);
}

double cross_entropy_gradient_bytes(Context& context, int32_t dtype, const int32_t* sizes) {
  require_sizes(sizes, {"tokens", "hidden", "vocabulary"});
  require(sizes[3] == 0 || sizes[3] == 1, REMOE_INVALID_ARGUMENT,
          "whether logits are kept is %d, but 0 or 1 is needed", sizes[3]);
  return REMOE_DISPATCH(context, cross_entropy_gradient_scratch, dtype, sizes[0], sizes[1],
                        sizes[2], sizes[3] == 1);
}

}  // namespace

int32_t remoe_scratch_bytes(uint64_t context, int32_t operation, int32_t dtype,
                            const int32_t* sizes, uint64_t* bytes) {
  return guard(context, "scratch_bytes", [&](Context& open) {
    require_operation(operation, REMOE_SCRATCH_CROSS_ENTROPY_GRADIENT);
    require_float(dtype);
    require(sizes != nullptr, REMOE_INVALID_ARGUMENT, "the sizes are null");
    require(bytes != nullptr, REMOE_INVALID_ARGUMENT, "the place for the bytes is null");
    const double needed = operation == REMOE_SCRATCH_EXPERTS_GRADIENT
                              ? experts_gradient_bytes(open, dtype, sizes)
                              : cross_entropy_gradient_bytes(open, dtype, sizes);
    *bytes = static_cast<uint64_t>(std::min(needed, kMostBytes));
  });
}

// How much scratch memory an operation takes: it is called with nothing behind its addresses, its
// kernels left out, and what it asks of the pool counted.

#include <algorithm>
#include <initializer_list>

#include "gemm/has_tensor_cores.h"
#include "runtime/dtype.h"
#include "runtime/operation.h"

namespace remoe {
namespace {

// What sizes beyond every memory need.
constexpr uint64_t kMostBytes = uint64_t{1} << 62;
// An address, aligned as any block's, that nothing reads.
constexpr uint64_t kNowhere = uint64_t{1} << 45;

class Measurement {
 public:
  explicit Measurement(MemoryPool& pool) : pool_(pool) { pool.begin_measuring(); }
  ~Measurement() { pool_.end_measuring(); }
  Measurement(const Measurement&) = delete;
  Measurement& operator=(const Measurement&) = delete;

  uint64_t peak() const { return pool_.statistics().peak; }

 private:
  MemoryPool& pool_;
};

void require_sizes(const int32_t* sizes, std::initializer_list<const char*> names) {
  for (const char* name : names) require_size(*sizes++, name);
}

// Whether a buffer of so many elements is beyond every memory, and its bytes perhaps beyond 2^64.
bool is_vast(std::initializer_list<int64_t> sizes) {
  double product = 1;
  for (const int64_t size : sizes) product *= static_cast<double>(size);
  return product > 0x1p40;
}

uint64_t measured(Operation& op, int32_t status, uint64_t peak) {
  if (status == REMOE_OK) return peak;
  // The operation itself refuses such sizes, and has said why.
  fail(REMOE_UNSUPPORTED, "%s", op.context.message.c_str());
}

uint64_t experts_gradient_bytes(Operation& op, uint64_t handle, int32_t dtype,
                                const int32_t* sizes) {
  require_sizes(sizes, {"rows"});
  require(sizes[1] >= 0, "kept_rows is %d, but at least 0 is needed", sizes[1]);
  require_sizes(sizes + 2, {"tokens", "hidden", "width", "experts"});
  const int32_t rows = sizes[0], kept = sizes[1];
  const int32_t tokens = sizes[2], hidden = sizes[3], width = sizes[4], experts = sizes[5];
  if (is_vast({rows, int64_t{2} * width}) || is_vast({rows, hidden}) || is_vast({tokens, hidden}) ||
      is_vast({tokens, experts})) {
    return kMostBytes;
  }
  const Measurement measurement(op.context.pool);
  // Its size tells the operation how many rows there may be.
  const Scratch<int32_t> plan(op, static_cast<size_t>(remoe_plan_words(tokens, experts, rows)));
  const uint64_t before = measurement.peak();
  const int32_t status = remoe_experts_gradient(
      handle, dtype, kNowhere, kNowhere, kNowhere, kNowhere, kNowhere, kNowhere, kNowhere, kNowhere,
      kNowhere, kNowhere, reinterpret_cast<uint64_t>(plan.data()), kept, tokens, hidden, width,
      experts, 0);
  return measured(op, status, measurement.peak() - before);
}

uint64_t cross_entropy_gradient_bytes(Operation& op, uint64_t handle, int32_t dtype,
                                      const int32_t* sizes) {
  require_sizes(sizes, {"tokens", "hidden", "vocabulary"});
  require(sizes[3] == 0 || sizes[3] == 1, "whether logits are kept is %d, but 0 or 1 is needed",
          sizes[3]);
  const int32_t tokens = sizes[0], hidden = sizes[1], vocabulary = sizes[2];
  if (is_vast({tokens, hidden}) || is_vast({tokens, vocabulary}) || is_vast({hidden, vocabulary})) {
    return kMostBytes;
  }
  const Measurement measurement(op.context.pool);
  const int32_t status = remoe_cross_entropy_gradient(
      handle, dtype, kNowhere, kNowhere, kNowhere, kNowhere, kNowhere, sizes[3] == 1 ? kNowhere : 0,
      kNowhere, kNowhere, kNowhere, tokens, hidden, vocabulary, vocabulary, 0);
  return measured(op, status, measurement.peak());
}

}  // namespace
}  // namespace remoe

int32_t remoe_scratch_bytes(uint64_t context, int32_t operation, int32_t dtype,
                            const int32_t* sizes, uint64_t* bytes) {
  using namespace remoe;
  return guard(context, "scratch_bytes", [&](Operation& op) {
    require(operation >= REMOE_SCRATCH_EXPERTS_GRADIENT &&
                operation <= REMOE_SCRATCH_CROSS_ENTROPY_GRADIENT,
            "operation %d is unknown", operation);
    require_float(dtype);
    require(sizes != nullptr, "the sizes are null");
    require(bytes != nullptr, "the place for the bytes is null");
    // The paths are compared at their first use, which takes kernels that run.
    if (dtype == REMOE_BF16) has_tensor_cores(op);
    *bytes = operation == REMOE_SCRATCH_EXPERTS_GRADIENT
                 ? experts_gradient_bytes(op, context, dtype, sizes)
                 : cross_entropy_gradient_bytes(op, context, dtype, sizes);
  });
}

// Copies between host and device, and fill.

#include <cmath>
#include <cstring>

#include "runtime/operation.h"

namespace remoe {
namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kMaximumBlocks = 4096;

template <class Word>
__global__ void __launch_bounds__(kThreads) fill_kernel(Word* target, Word value, uint64_t count) {
  const uint64_t stride = static_cast<uint64_t>(gridDim.x) * kThreads;
  for (uint64_t i = static_cast<uint64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += stride) {
    target[i] = value;
  }
}

template <class Word, class Value>
void fill(Operation& op, uint64_t target, Value value, uint64_t count) {
  static_assert(sizeof(Word) == sizeof(Value), "a word holds the bits of one element");
  Word word;
  std::memcpy(&word, &value, sizeof word);
  op.launch(fill_kernel<Word>, dim3(grid_blocks(count, kThreads, kMaximumBlocks)), dim3(kThreads),
            0, require_address<Word>(target, "target"), word, count);
}

// The upper half of the fp32 pattern, rounded to nearest even; NaN stays NaN.
uint16_t to_bf16(float value) {
  if (std::isnan(value)) return 0x7fc0;
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void require_copy(uint64_t target, const char* target_name, uint64_t source,
                  const char* source_name, uint64_t bytes) {
  require_address<unsigned char>(target, target_name);
  require_address<unsigned char>(source, source_name);
  require(bytes >= 1, "bytes is 0, but at least 1 is needed");
}

}  // namespace
}  // namespace remoe

using remoe::guard;
using remoe::Operation;

int32_t remoe_copy_from_host(uint64_t context, uint64_t target, const uint8_t* source,
                             uint64_t bytes) {
  return guard(context, "copy_from_host", [&](Operation& op) {
    remoe::require_copy(target, "target", reinterpret_cast<uint64_t>(source), "source", bytes);
    op.context.refuse_capture("the source may change before it runs: copy from pinned memory");
    op.context.staging.copy(op.context, reinterpret_cast<void*>(target), source, bytes);
    op.context.note_enqueued(op.name);
  });
}

int32_t remoe_copy_to_host(uint64_t context, uint8_t* target, uint64_t source, uint64_t bytes) {
  return guard(context, "copy_to_host", [&](Operation& op) {
    remoe::require_copy(reinterpret_cast<uint64_t>(target), "target", source, "source", bytes);
    // Waiting first makes kernel faults surface in the wait, which knows which operations to name.
    op.context.wait(op.context.stream);
    op.check(cudaMemcpyAsync(target, reinterpret_cast<const void*>(source), bytes,
                             cudaMemcpyDeviceToHost, op.context.stream));
    op.context.wait(op.context.stream);
  });
}

int32_t remoe_copy(uint64_t context, uint64_t target, uint64_t source, uint64_t bytes) {
  return guard(context, "copy", [&](Operation& op) {
    remoe::require_copy(target, "target", source, "source", bytes);
    op.check(cudaMemcpyAsync(reinterpret_cast<void*>(target), reinterpret_cast<void*>(source),
                             bytes, cudaMemcpyDeviceToDevice, op.context.stream));
  });
}

int32_t remoe_fill(uint64_t context, int32_t dtype, uint64_t target, double value, uint64_t count) {
  return guard(context, "fill", [&](Operation& op) {
    remoe::require(count >= 1, "count is 0, but at least 1 is needed");
    const float single = static_cast<float>(value);
    switch (dtype) {
      case REMOE_F32:
        return remoe::fill<uint32_t>(op, target, single, count);
      case REMOE_BF16:
        return remoe::fill<uint16_t>(op, target, remoe::to_bf16(single), count);
      case REMOE_I32:
        remoe::require(value >= INT32_MIN && value <= INT32_MAX, "%g does not fit int32", value);
        return remoe::fill<uint32_t>(op, target, static_cast<int32_t>(value), count);
      case REMOE_F64:
        return remoe::fill<uint64_t>(op, target, value, count);
      default:
        remoe::fail(REMOE_INVALID_ARGUMENT, "dtype %d is unknown", dtype);
    }
  });
}

// Copies between host and device.

#include "runtime/operation.h"

namespace remoe {
namespace {

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

// Streams and events.

#include "runtime/operation.h"

namespace remoe {
namespace {

// 0 is the context's default stream.
cudaStream_t require_stream(Operation& op, uint64_t handle) {
  if (handle == 0) return op.context.first_stream;
  auto stream = reinterpret_cast<cudaStream_t>(handle);
  require(op.context.streams.count(stream) != 0, "0x%llx is not a stream of this context",
          static_cast<unsigned long long>(handle));
  return stream;
}

cudaEvent_t require_event(Operation& op, uint64_t handle) {
  auto event = reinterpret_cast<cudaEvent_t>(handle);
  require(op.context.events.count(event) != 0, "0x%llx is not an event of this context",
          static_cast<unsigned long long>(handle));
  return event;
}

}  // namespace
}  // namespace remoe

using remoe::guard;
using remoe::Operation;

int32_t remoe_stream_create(uint64_t context, uint64_t* stream) {
  return guard(context, "stream_create", [&](Operation& op) {
    remoe::require(stream != nullptr, "the pointer for the stream is null");
    cudaStream_t created = nullptr;
    op.context.check(cudaStreamCreateWithFlags(&created, cudaStreamNonBlocking),
                     "creating a stream");
    op.context.streams.insert(created);
    stream[0] = reinterpret_cast<uint64_t>(created);
  });
}

int32_t remoe_stream_destroy(uint64_t context, uint64_t stream) {
  return guard(context, "stream_destroy", [&](Operation& op) {
    remoe::require(stream != 0, "stream 0 belongs to the context");
    const cudaStream_t old = remoe::require_stream(op, stream);
    for (const auto& [executable, graph] : op.context.graphs) {
      remoe::require(graph.stream != old, "a graph of this stream exists: destroy it first");
    }
    op.context.drain(old);  // also releases blocks freed on it to the other streams
    if (op.context.stream == old) op.context.stream = op.context.first_stream;
    op.context.streams.erase(old);
    op.context.check(cudaStreamDestroy(old), "destroying a stream");
  });
}

int32_t remoe_stream_use(uint64_t context, uint64_t stream) {
  return guard(context, "stream_use", [&](Operation& op) {
    const cudaStream_t chosen = remoe::require_stream(op, stream);
    op.context.refuse_capture("it has a single stream");
    op.context.stream = chosen;
  });
}

int32_t remoe_stream_synchronize(uint64_t context, uint64_t stream) {
  return guard(context, "stream_synchronize",
               [&](Operation& op) { op.context.wait(remoe::require_stream(op, stream)); });
}

int32_t remoe_synchronize(uint64_t context) {
  return guard(context, "synchronize", [](Operation& op) { op.context.wait_for_all(); });
}

int32_t remoe_event_create(uint64_t context, uint64_t* event) {
  return guard(context, "event_create", [&](Operation& op) {
    remoe::require(event != nullptr, "the pointer for the event is null");
    cudaEvent_t created = nullptr;
    op.context.check(cudaEventCreate(&created), "creating an event");
    op.context.events.emplace(created, false);
    event[0] = reinterpret_cast<uint64_t>(created);
  });
}

int32_t remoe_event_destroy(uint64_t context, uint64_t event) {
  return guard(context, "event_destroy", [&](Operation& op) {
    const cudaEvent_t old = remoe::require_event(op, event);
    op.context.events.erase(old);
    op.context.check(cudaEventDestroy(old), "destroying an event");
  });
}

int32_t remoe_event_record(uint64_t context, uint64_t event) {
  return guard(context, "event_record", [&](Operation& op) {
    const cudaEvent_t recorded = remoe::require_event(op, event);
    op.context.refuse_capture("it has no events");
    op.context.check(cudaEventRecord(recorded, op.context.stream), "recording an event");
    op.context.events[recorded] = true;
  });
}

int32_t remoe_event_wait(uint64_t context, uint64_t event) {
  return guard(context, "event_wait", [&](Operation& op) {
    const cudaEvent_t awaited = remoe::require_event(op, event);
    op.context.refuse_capture("it has no events");
    op.context.check(cudaStreamWaitEvent(op.context.stream, awaited, 0), "waiting for an event");
  });
}

int32_t remoe_event_synchronize(uint64_t context, uint64_t event) {
  return guard(context, "event_synchronize", [&](Operation& op) {
    op.context.check(cudaEventSynchronize(remoe::require_event(op, event)), "waiting for an event");
    op.context.index_errors.throw_first();
  });
}

int32_t remoe_event_elapsed(uint64_t context, uint64_t start, uint64_t end, double* seconds) {
  return guard(context, "event_elapsed", [&](Operation& op) {
    remoe::require(seconds != nullptr, "the pointer for the seconds is null");
    const cudaEvent_t first = remoe::require_event(op, start);
    const cudaEvent_t last = remoe::require_event(op, end);
    for (const cudaEvent_t event : {first, last}) {
      remoe::require(op.context.events[event], "0x%llx has never been recorded",
                     static_cast<unsigned long long>(reinterpret_cast<uint64_t>(event)));
    }
    op.context.check(cudaEventSynchronize(last), "waiting for an event");
    float milliseconds = 0.0f;
    op.context.check(cudaEventElapsedTime(&milliseconds, first, last), "timing two events");
    seconds[0] = static_cast<double>(milliseconds) / 1e3;
    op.context.index_errors.throw_first();
  });
}

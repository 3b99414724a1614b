// Launches, streams, events and copies: everything that a stream orders.

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "checker.h"
#include "device.h"
#include "device_memory.h"
#include "launch.h"
#include "pinned_memory.h"
#include "scheduler.h"
#include "shared_memory.h"

struct EmulatedEvent {
  uint64_t recorded = 0;  // records enqueued
  uint64_t done = 0;      // the newest that has run
  std::chrono::steady_clock::time_point time;
};

namespace remoe::emulator {
namespace {

bool is_launchable(const Launch& launch) {
  const auto product = [](dim3 d) { return static_cast<uint64_t>(d.x) * d.y * d.z; };
  const uint64_t threads = product(launch.block);
  const uint64_t blocks = product(launch.grid);
  return threads >= 1 && threads <= 1024 && blocks >= 1 && blocks <= INT32_MAX &&
         launch.grid.y <= 65535 && launch.grid.z <= 65535 &&
         launch.shared_bytes <= kSharedMemoryBytes;
}

bool is_pinned(const void* address) {
  for (const auto& [block, bytes] : device().pinned) {
    const auto* first = static_cast<const char*>(block);
    if (address >= first && address < first + bytes) return true;
  }
  return false;
}

// The device side of a copy must lie in one open block.
bool check_device_range(const void* address, size_t bytes) {
  if (is_open(address, bytes)) return true;
  device().fail(cudaErrorIllegalAddress,
                "a copy of " + std::to_string(bytes) + " bytes leaves its block of device memory");
  return false;
}

bool run_copy(void* target, const void* source, size_t bytes, cudaMemcpyKind kind) {
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (to_device && !check_device_range(target, bytes)) return true;
  if (from_device && !check_device_range(source, bytes)) return true;
  std::memcpy(target, source, bytes);
  if (kind == cudaMemcpyHostToDevice) checker::host_wrote(target, bytes);
  if (kind == cudaMemcpyDeviceToDevice) checker::device_copied(target, source, bytes);
  return true;
}

}  // namespace

cudaError_t enqueue_launch(Launch launch, cudaStream_t stream) {
  const auto lock = device().lock();
  if (!is_launchable(launch)) return device().refuse(cudaErrorInvalidConfiguration);
  return device().enqueue(stream, [launch] {
    const std::string failure = run_grid(launch);
    if (!failure.empty()) device().fail(cudaErrorLaunchFailure, failure);
    return true;
  });
}

void block_opened(void* address, size_t bytes, cudaStream_t stream) {
  const auto lock = device().lock();
  if (stream == nullptr) return open_block(address, bytes);
  device().enqueue_uncaptured(stream, [=] {
    open_block(address, bytes);
    return true;
  });
}

void block_closed(void* address, cudaStream_t stream) {
  const auto lock = device().lock();
  if (stream == nullptr) return close_block(address);
  device().enqueue_uncaptured(stream, [=] {
    close_block(address);
    return true;
  });
}

}  // namespace remoe::emulator

using remoe::emulator::device;

cudaError_t cudaMemcpyAsync(void* target, const void* source, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  using namespace remoe::emulator;
  const auto lock = device().lock();
  const bool is_pageable = (kind == cudaMemcpyHostToDevice && !is_pinned(source)) ||
                           (kind == cudaMemcpyDeviceToHost && !is_pinned(target));
  if (const cudaError_t error = is_pageable ? device().refuse_capture(stream) : cudaSuccess;
      error != cudaSuccess) {
    return error;
  }
  if (kind == cudaMemcpyHostToDevice && is_pageable) {
    // From pageable memory, the bytes are staged before the call returns.
    const auto* first = static_cast<const unsigned char*>(source);
    return device().enqueue(stream, [=, staged = std::vector<unsigned char>(first, first + bytes)] {
      return run_copy(target, staged.data(), bytes, kind);
    });
  }
  const cudaError_t error =
      device().enqueue(stream, [=] { return run_copy(target, source, bytes, kind); });
  // Into pageable memory, the call returns when the bytes have arrived.
  const bool waits = kind == cudaMemcpyDeviceToHost && is_pageable;
  return error == cudaSuccess && waits ? device().drain_stream(stream) : error;
}

cudaError_t cudaMemsetAsync(void* target, int value, size_t bytes, cudaStream_t stream) {
  using namespace remoe::emulator;
  const auto lock = device().lock();
  return device().enqueue(stream, [=] {
    if (!check_device_range(target, bytes)) return true;
    std::memset(target, value, bytes);
    checker::host_wrote(target, bytes);
    return true;
  });
}

cudaError_t cudaMallocHost(void** address, size_t bytes) {
  const auto lock = device().lock();
  *address = remoe::emulator::map_before_guard(bytes);
  if (*address == nullptr) return device().refuse(cudaErrorMemoryAllocation);
  device().pinned[*address] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* address) {
  const cudaError_t error = cudaDeviceSynchronize();
  const auto lock = device().lock();
  const auto block = device().pinned.find(address);
  if (block == device().pinned.end()) return device().refuse(cudaErrorInvalidValue);
  remoe::emulator::unmap_before_guard(address, block->second);
  device().pinned.erase(block);
  return error;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const auto lock = device().lock();
  *stream = new EmulatedStream;
  device().streams.push_back(*stream);
  return device().failure;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const auto lock = device().lock();
  auto& streams = device().streams;
  const auto found = std::find(streams.begin(), streams.end(), stream);
  if (found == streams.end()) return device().refuse(cudaErrorInvalidResourceHandle);
  const cudaError_t error = device().drain_stream(stream);
  streams.erase(found);
  delete stream;
  return error;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const auto lock = device().lock();
  if (const cudaError_t error = device().refuse_capture(stream); error != cudaSuccess) return error;
  return device().drain_stream(stream);
}

// Unlike CUDA, no capture spans several streams.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const auto lock = device().lock();
  if (const cudaError_t error = device().refuse_capture(stream); error != cudaSuccess) return error;
  const uint64_t record = event->recorded;
  return device().enqueue(stream, [=] { return event->done >= record; });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new EmulatedEvent;
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return cudaEventCreate(event);
}

// Queued work may still refer to the event; a GPU also keeps it until then.
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const cudaError_t error = cudaDeviceSynchronize();
  delete event;
  return error;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const auto lock = device().lock();
  if (const cudaError_t error = device().refuse_capture(stream); error != cudaSuccess) return error;
  const uint64_t record = ++event->recorded;
  return device().enqueue(stream, [=] {
    event->done = record;
    event->time = std::chrono::steady_clock::now();
    return true;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const auto lock = device().lock();
  const uint64_t record = event->recorded;
  return device().drain([=] { return event->done >= record; });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const auto lock = device().lock();
  if (start->recorded == 0 || end->recorded == 0) {
    return device().refuse(cudaErrorInvalidResourceHandle);
  }
  if (start->done < start->recorded || end->done < end->recorded) {
    return device().refuse(cudaErrorNotReady);
  }
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return cudaSuccess;
}

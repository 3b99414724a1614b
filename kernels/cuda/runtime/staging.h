// Copies from ordinary host memory. The driver's own staging may wait for the device; this ring of
// page-locked memory lets the caller reuse its buffer at once, and waits only while the ring is
// full of bytes that the device has not fetched.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "device/gpu.h"

namespace remoe {

struct Context;

class StagingRing {
 public:
  StagingRing() = default;
  // The device has fetched everything.
  ~StagingRing();
  StagingRing(const StagingRing&) = delete;
  StagingRing& operator=(const StagingRing&) = delete;

  // Enqueues a copy to the device on the context's current stream.
  void copy(Context& context, void* target, const void* source, size_t bytes);

 private:
  struct Pending {
    cudaEvent_t fetched;
    size_t bytes;
  };
  unsigned char* reserve(Context& context, size_t bytes);
  void wait_for_oldest(Context& context);
  cudaEvent_t take_event(Context& context);

  unsigned char* base_ = nullptr;  // allocated by the first copy
  size_t next_ = 0;                // where the next bytes go
  size_t reserved_ = 0;            // by the copy being enqueued
  size_t used_ = 0;                // by pending copies
  std::deque<Pending> pending_;    // oldest first
  std::vector<cudaEvent_t> idle_;
};

}  // namespace remoe

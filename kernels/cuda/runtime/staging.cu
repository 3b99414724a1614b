#include <algorithm>
#include <cstring>

#include "runtime/context.h"
#include "runtime/staging.h"

namespace remoe {
namespace {

constexpr size_t kRingBytes = size_t{16} << 20;
// Of a copy: the host fills the next piece while the device fetches this one.
constexpr size_t kPieceBytes = size_t{2} << 20;
constexpr size_t kAlignment = 64;

}  // namespace

StagingRing::~StagingRing() {
  for (const Pending& pending : pending_) cudaEventDestroy(pending.fetched);
  for (const cudaEvent_t event : idle_) cudaEventDestroy(event);
  if (base_ != nullptr) cudaFreeHost(base_);
}

void StagingRing::copy(Context& context, void* target, const void* source, size_t bytes) {
  for (size_t done = 0; done < bytes; done += kPieceBytes) {
    const size_t piece = std::min(bytes - done, kPieceBytes);
    unsigned char* staged = reserve(context, piece);
    const cudaEvent_t fetched = take_event(context);
    std::memcpy(staged, static_cast<const unsigned char*>(source) + done, piece);
    pending_.push_back({fetched, reserved_});
    used_ += reserved_;
    context.check(cudaMemcpyAsync(static_cast<unsigned char*>(target) + done, staged, piece,
                                  cudaMemcpyHostToDevice, context.stream),
                  "copying to the device");
    context.check(cudaEventRecord(fetched, context.stream), "recording an event");
  }
}

// A place for `bytes` adjacent bytes. Those left at the end of the ring are skipped if too few.
unsigned char* StagingRing::reserve(Context& context, size_t bytes) {
  if (base_ == nullptr) {
    void* block = nullptr;
    context.check(cudaMallocHost(&block, kRingBytes), "page-locking host memory");
    base_ = static_cast<unsigned char*>(block);
  }
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const bool wraps = next_ + rounded > kRingBytes;
  reserved_ = rounded + (wraps ? kRingBytes - next_ : 0);
  while (kRingBytes - used_ < reserved_) wait_for_oldest(context);
  const size_t place = wraps ? 0 : next_;
  next_ = place + rounded;
  return base_ + place;
}

void StagingRing::wait_for_oldest(Context& context) {
  context.check(cudaEventSynchronize(pending_.front().fetched), "waiting for a copy");
  idle_.push_back(pending_.front().fetched);
  used_ -= pending_.front().bytes;
  pending_.pop_front();
}

cudaEvent_t StagingRing::take_event(Context& context) {
  cudaEvent_t event = nullptr;
  if (idle_.empty()) {
    context.check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "creating an event");
  } else {
    event = idle_.back();
    idle_.pop_back();
  }
  return event;
}

}  // namespace remoe

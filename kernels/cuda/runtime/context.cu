#include <algorithm>
#include <cstring>

#include "runtime/context.h"

namespace remoe {
namespace {

constexpr int kOldestMajor = 8;  // sm_80, the oldest target in the fatbinary
constexpr size_t kRemembered = 16;

// Errors of work on the device, which any later call may return.
bool is_device_fault(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
      return true;
    default:
      return false;
  }
}

// Compute capability 9.0 alone: later architectures lack wgmma.
bool is_hopper_device(int ordinal) {
  int major = 0;
  int minor = 0;
  return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, ordinal) ==
             cudaSuccess &&
         cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, ordinal) ==
             cudaSuccess &&
         major == 9 && minor == 0;
}

void require_device(int ordinal) {
  // Without a driver the call fails and leaves the count untouched.
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess) {
    cudaGetLastError();
    fail(REMOE_NO_DEVICE, "no CUDA device can be used: %s (CUDA error %d)",
         cudaGetErrorString(error), static_cast<int>(error));
  }
  if (ordinal < 0 || ordinal >= devices) {
    fail(REMOE_NO_DEVICE, "there is no CUDA device %d: this machine has %d", ordinal, devices);
  }
  int major = 0;
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, ordinal) != cudaSuccess ||
      major < kOldestMajor) {
    fail(REMOE_NO_DEVICE, "CUDA device %d is older than compute capability %d.0", ordinal,
         kOldestMajor);
  }
}

}  // namespace

Context::Context(int device_ordinal) : ordinal(device_ordinal) {
  require_device(ordinal);
  check(cudaSetDevice(ordinal), "choosing the device");
  // Not ordered with the legacy default stream, which other libraries of the process may use.
  check(cudaStreamCreateWithFlags(&first_stream, cudaStreamNonBlocking), "creating a stream");
  stream = first_stream;
  check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, ordinal),
        "counting the multiprocessors");
  is_hopper = is_hopper_device(ordinal);
  gemm_path = choose_gemm_path(is_hopper);
}

Context::~Context() {
  enter();
  if (capturing) {
    cudaGraph_t graph = nullptr;
    if (cudaStreamEndCapture(stream, &graph) == cudaSuccess) cudaGraphDestroy(graph);
    pool.release_captured(pool.end_capture(), nullptr);
  }
  cudaDeviceSynchronize();
  for (const auto& [executable, graph] : graphs) {
    cudaGraphExecDestroy(executable);
    pool.release_captured(graph.blocks, nullptr);
  }
  for (const auto& [event, recorded] : events) cudaEventDestroy(event);
  for (const cudaStream_t extra : streams) cudaStreamDestroy(extra);
  for (const auto& [address, bytes] : pinned) cudaFreeHost(address);
  if (first_stream != nullptr) cudaStreamDestroy(first_stream);
}

void Context::check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // a rejected call must not be blamed on the next one
  if (is_device_fault(error)) {
    fail(REMOE_DEVICE_FAULT, "an operation enqueued earlier failed on the device: %s (%s)",
         cudaGetErrorString(error), suspects().c_str());
  }
  const int32_t status = error == cudaErrorMemoryAllocation ? REMOE_OUT_OF_MEMORY : REMOE_INTERNAL;
  fail(status, "%s: %s (CUDA error %d)", what, cudaGetErrorString(error), static_cast<int>(error));
}

void Context::refuse_capture(const char* why) const {
  require(!capturing, "a graph is being captured: %s", why);
}

void Context::note_enqueued(const char* operation) {
  if (!enqueued_.empty() && enqueued_.back().stream == stream &&
      std::strcmp(enqueued_.back().operation, operation) == 0) {
    return;
  }
  if (enqueued_.size() == kRemembered) enqueued_.erase(enqueued_.begin());
  enqueued_.push_back({stream, operation});
}

std::string Context::suspects() const {
  if (enqueued_.empty()) return "no operation was enqueued since the last wait";
  std::string text = enqueued_.size() == 1 ? "it was " : "one of, newest last: ";
  if (enqueued_.size() == kRemembered) text += "..., ";
  for (size_t i = 0; i < enqueued_.size(); i++) {
    if (i > 0) text += ", ";
    text += enqueued_[i].operation;
  }
  return text;
}

void Context::drain(cudaStream_t on) {
  refuse_capture("nothing can wait for its work");
  check(cudaStreamSynchronize(on), "waiting for a stream");
  enqueued_.erase(std::remove_if(enqueued_.begin(), enqueued_.end(),
                                 [on](const Enqueued& e) { return e.stream == on; }),
                  enqueued_.end());
  pool.settle(on);
}

void Context::wait(cudaStream_t on) {
  drain(on);
  index_errors.throw_first();
}

void Context::wait_for_all() {
  drain(first_stream);
  for (const cudaStream_t extra : streams) drain(extra);
  index_errors.throw_first();
}

}  // namespace remoe

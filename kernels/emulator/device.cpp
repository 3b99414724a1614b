#include "device.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "device_memory.h"
#include "reports.h"

namespace remoe::emulator {

Device& device() {
  static Device one;
  return one;
}

int capability_of_environment() {
  const char* text = std::getenv("REMOE_EMULATED_CAPABILITY");
  return text != nullptr && std::strcmp(text, "90") == 0 ? 90 : 80;
}

cudaError_t Device::enqueue(cudaStream_t stream, std::function<bool()> work) {
  if (failure != cudaSuccess) return failure;
  const bool is_open = std::find(streams.begin(), streams.end(), stream) != streams.end();
  if (!is_open || stream->capture == nullptr) return enqueue_uncaptured(stream, std::move(work));
  stream->capture->work.push_back(std::move(work));
  return cudaSuccess;
}

cudaError_t Device::enqueue_uncaptured(cudaStream_t stream, std::function<bool()> work) {
  if (failure != cudaSuccess) return failure;
  if (std::find(streams.begin(), streams.end(), stream) == streams.end()) {
    return refuse(cudaErrorInvalidResourceHandle);
  }
  stream->queue.push_back(std::move(work));
  // If the work fails, the next call returns the error.
  if (!deferred) drain_stream(stream);
  return cudaSuccess;
}

cudaError_t Device::drain(const std::function<bool()>& done) {
  while (failure == cudaSuccess && !done()) {
    std::vector<EmulatedStream*> candidates;
    for (EmulatedStream* stream : streams) {
      if (!stream->queue.empty()) candidates.push_back(stream);
    }
    std::shuffle(candidates.begin(), candidates.end(), random);
    const auto runs = [](EmulatedStream* stream) { return stream->queue.front()(); };
    const auto ran = std::find_if(candidates.begin(), candidates.end(), runs);
    if (ran == candidates.end()) {
      fail(cudaErrorLaunchFailure, "streams wait for events that nothing records");
    } else if (failure == cudaSuccess) {
      (*ran)->queue.pop_front();
    }
  }
  return failure;
}

cudaError_t Device::refuse_capture(cudaStream_t stream) {
  if (stream->capture == nullptr) return cudaSuccess;
  stream->capture->is_invalid = true;
  return refuse(cudaErrorStreamCaptureUnsupported);
}

cudaError_t Device::drain_stream(cudaStream_t stream) {
  return drain([stream] { return stream->queue.empty(); });
}

void Device::fail(cudaError_t error, const std::string& text) {
  failure = error;
  failure_text = text;
  add_report(text, "");
}

void Device::reset() {
  for (EmulatedStream* stream : streams) {
    stream->queue.clear();
    stream->capture.reset();
  }
  failure = cudaSuccess;
  last_error = cudaSuccess;
}

}  // namespace remoe::emulator

using remoe::emulator::device;

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int ordinal) {
  return ordinal == 0 ? cudaSuccess : device().refuse(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int ordinal) {
  if (ordinal != 0) return device().refuse(cudaErrorInvalidDevice);
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "emulated");
  properties->totalGlobalMem = remoe::emulator::kDeviceBytes;
  properties->major = device().capability / 10;
  properties->minor = device().capability % 10;
  properties->multiProcessorCount = device().multiprocessors;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int ordinal) {
  cudaDeviceProp properties;
  const cudaError_t error = cudaGetDeviceProperties(&properties, ordinal);
  if (error != cudaSuccess) return error;
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      break;
    default:
      return device().refuse(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  const auto lock = device().lock();
  return device().drain([] {
    const auto& streams = device().streams;
    return std::all_of(streams.begin(), streams.end(),
                       [](const EmulatedStream* stream) { return stream->queue.empty(); });
  });
}

cudaError_t cudaGetLastError() {
  const auto lock = device().lock();
  if (device().failure != cudaSuccess) return device().failure;
  return std::exchange(device().last_error, cudaSuccess);
}

const char* cudaGetErrorString(cudaError_t error) {
  if (error == device().failure && error != cudaSuccess) return device().failure_text.c_str();
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    default:
      return "unspecified failure";
  }
}

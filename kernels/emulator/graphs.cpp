// Captures and graphs: work recorded from a stream, to be enqueued again and again.

#include <memory>

#include "device.h"

using remoe::emulator::device;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const auto lock = device().lock();
  if (const cudaError_t error = device().refuse_capture(stream); error != cudaSuccess) return error;
  stream->capture = std::make_unique<EmulatedGraph>();
  return device().failure;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const auto lock = device().lock();
  *graph = nullptr;
  if (stream->capture == nullptr) return device().refuse(cudaErrorInvalidValue);
  const std::unique_ptr<EmulatedGraph> captured = std::move(stream->capture);
  if (captured->is_invalid) return device().refuse(cudaErrorStreamCaptureInvalidated);
  *graph = new EmulatedGraph(*captured);
  return device().failure;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  *executable = new EmulatedGraph(*graph);
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const auto lock = device().lock();
  for (const auto& work : executable->work) {
    const cudaError_t error = device().enqueue(stream, work);
    if (error != cudaSuccess) return error;
  }
  return device().failure;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

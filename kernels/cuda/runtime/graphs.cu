// Captured graphs. A graph's kernels keep the addresses of their capture, so the blocks that were
// free or scratch then stay the graph's until it is destroyed.

#include "gemm/has_tensor_cores.h"
#include "runtime/operation.h"

namespace remoe {
namespace {

// Ends the stream's capture; throws if it is void.
cudaGraphExec_t end_capture(Context& context) {
  cudaGraph_t graph = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(context.stream, &graph);
  cudaGraphExec_t executable = nullptr;
  cudaError_t made = cudaSuccess;
  if (ended == cudaSuccess && context.failed_in_capture.empty()) {
    made = cudaGraphInstantiate(&executable, graph, 0);
  }
  if (graph != nullptr) cudaGraphDestroy(graph);
  if (!context.failed_in_capture.empty()) cudaGetLastError();
  require(context.failed_in_capture.empty(), "%s failed in the meantime, so nothing was captured",
          context.failed_in_capture.c_str());
  context.check(ended, "ending the capture");
  context.check(made, "making a graph");
  return executable;
}

Graph& require_graph(Operation& op, uint64_t handle) {
  const auto found = op.context.graphs.find(reinterpret_cast<cudaGraphExec_t>(handle));
  require(found != op.context.graphs.end(), "there is no graph 0x%llx",
          static_cast<unsigned long long>(handle));
  return found->second;
}

}  // namespace
}  // namespace remoe

using remoe::guard;
using remoe::Operation;

int32_t remoe_capture_begin(uint64_t context) {
  return guard(context, "capture_begin", [](Operation& op) {
    remoe::Context& c = op.context;
    remoe::require(!c.capturing, "a capture has already begun");
    remoe::has_tensor_cores(op);  // the first to ask waits for the device, which a capture cannot
    // Relaxed: calls that touch no stream, such as page-locking memory, are allowed meanwhile.
    c.check(cudaStreamBeginCapture(c.stream, cudaStreamCaptureModeRelaxed), "beginning a capture");
    c.capturing = true;
    c.failed_in_capture.clear();
    c.pool.begin_capture();
  });
}

int32_t remoe_capture_end(uint64_t context, uint64_t* graph) {
  return guard(context, "capture_end", [&](Operation& op) {
    remoe::Context& c = op.context;
    remoe::require(graph != nullptr, "the pointer for the graph is null");
    remoe::require(c.capturing, "no capture has begun");
    c.capturing = false;
    remoe::Graph made = {.stream = c.stream, .blocks = c.pool.end_capture()};
    try {
      const cudaGraphExec_t executable = remoe::end_capture(c);
      c.index_errors.keep();
      c.graphs.emplace(executable, std::move(made));
      graph[0] = reinterpret_cast<uint64_t>(executable);
    } catch (...) {
      c.pool.release_captured(made.blocks, made.stream);
      throw;
    }
  });
}

int32_t remoe_graph_launch(uint64_t context, uint64_t graph) {
  return guard(context, "graph_launch", [&](Operation& op) {
    const remoe::Graph& known = remoe::require_graph(op, graph);
    op.context.refuse_capture("a graph cannot be part of another");
    // Its blocks are ordered by that stream alone.
    remoe::require(known.stream == op.context.stream,
                   "the graph was captured on another stream than the current one");
    op.check(cudaGraphLaunch(reinterpret_cast<cudaGraphExec_t>(graph), op.context.stream));
  });
}

int32_t remoe_graph_destroy(uint64_t context, uint64_t graph) {
  return guard(context, "graph_destroy", [&](Operation& op) {
    remoe::Graph& known = remoe::require_graph(op, graph);
    op.context.refuse_capture("graphs are destroyed before or after");
    op.context.pool.release_captured(known.blocks, known.stream);
    const auto executable = reinterpret_cast<cudaGraphExec_t>(graph);
    op.context.graphs.erase(executable);
    op.context.check(cudaGraphExecDestroy(executable), "destroying a graph");
  });
}

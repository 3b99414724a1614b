// Sums, means and maxima over axes.
//
// A group of threads reduces one output, or one part of it where there are few outputs: threads
// take elements in turn, then join their results in a tree. The parts of an output are reduced by
// another pass. All of it follows from the shape alone, so the same inputs give the same bits.

#include <algorithm>
#include <cmath>

#include "device/block_reduce.h"
#include "runtime/dtype.h"
#include "tensor/each_element.h"
#include "tensor/strides.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
// Blocks that keep a large device busy, in so many rounds that the last, part of one costs little.
constexpr uint64_t kManyBlocks = 4096;

struct Maximum {
  static constexpr float kNeutral = -INFINITY;
  __device__ __forceinline__ float operator()(float a, float b) const {  // NaN wins
    return b <= a ? a : (a != a ? a : b);
  }
};
struct Sum : Add {
  static constexpr float kNeutral = 0.0f;
};

struct Output {
  void* target;
  bool is_bf16;
  bool accumulate;
  float scale;

  __device__ __forceinline__ void put(uint64_t i, float value) const {
    if (is_bf16) {
      put(static_cast<Bf16*>(target) + i, value);
    } else {
      put(static_cast<float*>(target) + i, value);
    }
  }

 private:
  template <class T>
  __device__ __forceinline__ void put(T* to, float value) const {
    *to = to_element<T>(accumulate ? to_float(*to) + value * scale : value * scale);
  }
};

template <class T>
struct ReduceArguments {
  Output output;
  const T* x;
  Strides<1> kept;
  Strides<1> reduced;
  uint64_t outputs;
  uint64_t terms;  // of an output
  uint64_t parts;  // of an output
  uint64_t part;   // terms of a part, but the last
  int width;       // threads of a group

  __device__ __forceinline__ uint64_t end_of(uint64_t which) const {
    const uint64_t end = (which + 1) * part;
    return end < terms ? end : terms;
  }
};

// The inner axis is reduced, and a group's threads take adjacent elements. A group is a block if
// kIsBlock, else a part of a warp.
template <class Join, bool kIsBlock, int kCount, class T>
__global__ void __launch_bounds__(kThreads) reduce_inner_kernel(ReduceArguments<T> a) {
  constexpr Join join{};
  const int width = kIsBlock ? kThreads : a.width;
  const int lane = static_cast<int>(threadIdx.x) % width;
  const uint64_t group =
      static_cast<uint64_t>(blockIdx.x) * (kThreads / width) + threadIdx.x / width;
  const uint64_t output = a.parts == 1 ? group : group / a.parts;  // divisions are slow
  const uint64_t which = group - output * a.parts;
  float joined[kCount];
#pragma unroll
  for (int k = 0; k < kCount; k++) joined[k] = Join::kNeutral;
  if (output < a.outputs) {
    const T* from = a.x + a.kept.offset_of(output);
    const uint64_t end = a.end_of(which);
    uint64_t i = which * a.part + static_cast<uint64_t>(lane) * kCount;
#pragma unroll 4
    for (; i + kCount <= end; i += static_cast<uint64_t>(width) * kCount) {
      float value[kCount];
      load_floats(from + a.reduced.offset_of(i), value);
#pragma unroll
      for (int k = 0; k < kCount; k++) joined[k] = join(joined[k], value[k]);
    }
    // What is left is shorter than a run, and one thread's.
    for (; i < end; i++) joined[0] = join(joined[0], to_float(from[a.reduced.offset_of(i)]));
  }
#pragma unroll
  for (int step = kCount / 2; step > 0; step /= 2) {
#pragma unroll
    for (int k = 0; k < step; k++) joined[k] = join(joined[k], joined[k + step]);
  }
  float result = joined[0];
  if constexpr (kIsBlock) {
    result = block_reduce(result, gpu::shared<float[kWarps]>(), join);
  } else {
    for (int step = width / 2; step > 0; step /= 2) {
      result = join(result, __shfl_xor_sync(kFullWarp, result, step));
    }
  }
  if (lane == 0 && output < a.outputs) a.output.put(which * a.outputs + output, result);
}

template <int kCount>
struct ColumnShared {
  float joined[kCount][kThreads];
};

constexpr int kFour = 4;

// By accesses of 16 bytes: one by one, a warp's lanes would each write to another sector.
template <int kCount>
__device__ __forceinline__ void store_parts(float* to, const float (&from)[kCount]) {
#pragma unroll
  for (int k = 0; k < kCount; k += kFour) {
    store_vector<float, kFour>(to + k, {from[k], from[k + 1], from[k + 2], from[k + 3]});
  }
}

// The inner axis is kept: `width` threads take adjacent runs of outputs, and the rest of the block
// shares their rows.
template <class Join, int kCount, class T>
__global__ void __launch_bounds__(kThreads) reduce_outer_kernel(ReduceArguments<T> a) {
  constexpr Join join{};
  auto& shared = gpu::shared<ColumnShared<kCount>>().joined;
  const int thread = static_cast<int>(threadIdx.x);
  const int height = kThreads / a.width;
  const uint64_t output = (static_cast<uint64_t>(blockIdx.x) * a.width + thread % a.width) * kCount;
  const uint64_t which = blockIdx.y;
  float joined[kCount];
#pragma unroll
  for (int k = 0; k < kCount; k++) joined[k] = Join::kNeutral;
  if (output < a.outputs) {
    const T* from = a.x + a.kept.offset_of(output);
    const uint64_t end = a.end_of(which);
#pragma unroll 4
    for (uint64_t i = which * a.part + thread / a.width; i < end; i += height) {
      float value[kCount];
      load_floats(from + a.reduced.offset_of(i), value);
#pragma unroll
      for (int k = 0; k < kCount; k++) joined[k] = join(joined[k], value[k]);
    }
  }
  for (int rows = height / 2; rows > 0; rows /= 2) {
#pragma unroll
    for (int k = 0; k < kCount; k++) shared[k][thread] = joined[k];
    __syncthreads();
    if (thread < rows * a.width) {
#pragma unroll
      for (int k = 0; k < kCount; k++) {
        joined[k] = join(joined[k], shared[k][thread + rows * a.width]);
      }
    }
    __syncthreads();
  }
  if (thread >= a.width || output >= a.outputs) return;
  const uint64_t first = which * a.outputs + output;
  if constexpr (kCount % kFour == 0) {
    if (a.parts > 1) {  // into the call's own memory, in fp32
      return store_parts(static_cast<float*>(a.output.target) + first, joined);
    }
  }
#pragma unroll
  for (int k = 0; k < kCount; k++) a.output.put(first + k, joined[k]);
}

// The largest power of two that is at most x, of 1 to `most`.
int power_below(uint64_t x, int most) {
  int power = 1;
  while (power < most && static_cast<uint64_t>(power) * 2 <= x) power *= 2;
  return power;
}

template <class Join>
struct Reduction {
  Operation& op;

  template <class T>
  void run(const Output& output, const T* x, const ReductionLayout& layout) {
    ReduceArguments<T> a = {};
    a.output = output;
    a.x = x;
    a.outputs = layout.kept_count;
    a.terms = layout.count / layout.kept_count;
    uint64_t stride = 1;
    for (int axis = layout.axes - 1; axis >= 0; axis--) {
      Strides<1>& strides = layout.reduced[axis] ? a.reduced : a.kept;
      strides.add_axis(layout.length[axis]);
      strides.stride[0][strides.axes - 1] = stride;
      stride *= layout.length[axis];
    }
    if (a.kept.axes == 0) a.kept.add_axis(1);
    if (a.reduced.axes == 0) a.reduced.add_axis(1);
    constexpr int kCount = kWidth<T>;
    const bool is_vector = layout.axes == 1;
    const bool in_runs =
        starts_runs<kCount>(x) && (is_vector || layout.length[layout.axes - 1] % kCount == 0);
    if (layout.reduced[layout.axes - 1]) {
      if (in_runs) return reduce_inner<kCount>(a);
      reduce_inner<1>(a);
    } else {
      if (in_runs && a.outputs % kCount == 0) return reduce_outer<kCount>(a);
      reduce_outer<1>(a);
    }
  }

  // Splits the outputs into parts of at least `least` terms while there are fewer than `wanted`,
  // and runs launch(arguments), then a pass over the parts' results.
  template <class T, class Launch>
  void in_parts(ReduceArguments<T>& a, uint64_t wanted, uint64_t least, Launch&& launch) {
    const uint64_t parts = std::min({wanted, a.terms / least, kManyBlocks});
    if (parts <= 1) {
      a.parts = 1;
      a.part = a.terms;
      return launch(a);
    }
    // Whole runs of any width.
    a.part = ((a.terms + parts - 1) / parts + kWarp - 1) / kWarp * kWarp;
    a.parts = (a.terms + a.part - 1) / a.part;
    const Scratch<float> results(op, a.parts * a.outputs);
    const Output output = a.output;
    a.output = {.target = results.data(), .is_bf16 = false, .accumulate = false, .scale = 1.0f};
    launch(a);
    ReductionLayout layout;
    layout.axes = a.outputs == 1 ? 1 : 2;
    layout.count = a.parts * a.outputs;
    layout.kept_count = a.outputs;
    layout.length[0] = a.parts;
    layout.reduced[0] = true;
    layout.length[1] = a.outputs;
    run<float>(output, results.data(), layout);
  }

  template <int kCount, class T>
  void reduce_inner(ReduceArguments<T>& a) {
    constexpr uint64_t kLongest = 16 * kWarp * kCount;  // that a warp reduces
    const bool is_block = a.terms > kLongest;
    a.width = is_block ? kThreads : power_below((a.terms + kCount - 1) / kCount, kWarp);
    in_parts(a, kManyBlocks / a.outputs, kThreads * 16, [&](const ReduceArguments<T>& part) {
      const uint64_t groups = part.outputs * part.parts;
      const uint64_t in_block = kThreads / part.width;
      const dim3 grid(static_cast<unsigned>((groups + in_block - 1) / in_block));
      op.launch(is_block ? reduce_inner_kernel<Join, true, kCount, T>
                         : reduce_inner_kernel<Join, false, kCount, T>,
                grid, dim3(kThreads), sizeof(float[kWarps]), part);
    });
  }

  template <int kCount, class T>
  void reduce_outer(ReduceArguments<T>& a) {
    const uint64_t runs = a.outputs / kCount;
    const auto blocks = [&] { return (runs + a.width - 1) / a.width; };
    a.width = power_below(2 * runs - 1, kThreads);
    // Rows shared within a block keep more of the device busy; 32 runs still fill whole sectors.
    while (a.width > kWarp && blocks() < kManyBlocks &&
           static_cast<uint64_t>(kThreads / a.width) * 8 < a.terms) {
      a.width /= 2;
    }
    // A thread's rows: where threads are many, one block takes the results of many.
    const uint64_t height = kThreads / a.width;
    const uint64_t least = height * (height > kWarps ? 16 : 8);
    in_parts(a, kManyBlocks / blocks(), least, [&](const ReduceArguments<T>& part) {
      const dim3 grid(static_cast<unsigned>(blocks()), static_cast<unsigned>(part.parts));
      op.launch(reduce_outer_kernel<Join, kCount, T>, grid, dim3(kThreads),
                sizeof(ColumnShared<kCount>), part);
    });
  }
};

template <class Join>
void reduce(Operation& op, int32_t dtype, const Output& output, const void* x,
            const ReductionLayout& layout) {
  with_activations(dtype, [&](auto type) {
    Reduction<Join>{op}.run(output, static_cast<const decltype(type)*>(x), layout);
  });
}

}  // namespace
}  // namespace remoe

int32_t remoe_reduce(uint64_t context, int32_t operation, int32_t dtype, uint64_t target,
                     uint64_t x, const int32_t* layout, int32_t accumulate) {
  using namespace remoe;
  return guard(context, "reduce", [&](Operation& op) {
    require_operation(operation, REMOE_MAXIMUM);
    require_float(dtype);
    const ReductionLayout axes = read_reduction_layout(layout);
    const auto terms = static_cast<double>(axes.count / axes.kept_count);
    const Output output = {
        .target = require_elements(target, dtype, "target"),
        .is_bf16 = dtype == REMOE_BF16,
        .accumulate = (accumulate & 1) != 0,
        .scale = operation == REMOE_MEAN ? static_cast<float>(1.0 / terms) : 1.0f,
    };
    const void* from = require_elements(x, dtype, "x");
    if (operation == REMOE_MAXIMUM) {
      reduce<Maximum>(op, dtype, output, from, axes);
    } else {
      reduce<Sum>(op, dtype, output, from, axes);
    }
  });
}

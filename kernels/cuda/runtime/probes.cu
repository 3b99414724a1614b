// The device's limits, as a yardstick for the kernels.

#include <algorithm>

#include "device/floats.h"
#include "runtime/dtype.h"
#include "runtime/operation.h"

namespace remoe {
namespace {

// One block per multiprocessor, of as many threads as a block has: with 8 independent chains each,
// only the multiply-add units limit the loop.
constexpr int kThreads = 1024;
constexpr int kChains = 8;

// x -> 0.5 x + 1 stays near 2, far from infinity and from subnormal numbers.
__global__ void __launch_bounds__(kThreads) fma_kernel(float* sink, int64_t rounds) {
  float chain[kChains];
#pragma unroll
  for (int i = 0; i < kChains; i++) chain[i] = static_cast<float>(1 + i + threadIdx.x);
#pragma unroll 4
  for (int64_t round = 0; round < rounds; round++) {
#pragma unroll
    for (int i = 0; i < kChains; i++) chain[i] = chain[i] * 0.5f + 1.0f;
  }
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < kChains; i++) sum += chain[i];
  sink[static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x] = sum;
}

#ifdef __CUDACC__
// mma.sync m16n8k16 from registers; the layout of its fragments does not matter here.
__global__ void __launch_bounds__(kThreads) mma_kernel(float* sink, int64_t rounds) {
  float d[kChains / 2][4] = {};
  // 1 * 1 - 1 * 1 adds nothing, so the sums stay where they are.
  constexpr uint32_t kOnes = 0x3f803f80u;
  constexpr uint32_t kOnesOfBothSigns = 0xbf803f80u;
#pragma unroll 4
  for (int64_t round = 0; round < rounds; round++) {
#pragma unroll
    for (int i = 0; i < kChains / 2; i++) {
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %4, %4, %4}, "
          "{%5, %5}, {%0, %1, %2, %3};"
          : "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
          : "r"(kOnes), "r"(kOnesOfBothSigns));
    }
  }
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < kChains / 2; i++) sum += d[i][0] + d[i][1] + d[i][2] + d[i][3];
  sink[static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x] = sum;
}
constexpr auto kMmaKernel = mma_kernel;
#else
constexpr void (*kMmaKernel)(float*, int64_t) = nullptr;
#endif

void require_seconds(double seconds) {
  require(seconds > 0 && seconds <= 60, "seconds is %g, but must be above 0 and at most 60",
          seconds);
}

// Two events around work on the current stream.
class Stopwatch {
 public:
  explicit Stopwatch(Context& context) : context_(context) {
    context_.check(cudaEventCreate(&start_), "creating an event");
    const cudaError_t error = cudaEventCreate(&end_);
    if (error != cudaSuccess) cudaEventDestroy(start_);
    context_.check(error, "creating an event");
  }
  ~Stopwatch() {
    cudaEventDestroy(start_);
    cudaEventDestroy(end_);
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  // The seconds that the device spends on what `enqueue` puts on the stream.
  template <class Enqueue>
  double seconds_of(Enqueue&& enqueue) {
    context_.check(cudaEventRecord(start_, context_.stream), "recording an event");
    enqueue();
    context_.check(cudaEventRecord(end_, context_.stream), "recording an event");
    context_.wait(context_.stream);
    float milliseconds = 0.0f;
    context_.check(cudaEventElapsedTime(&milliseconds, start_, end_), "timing two events");
    return static_cast<double>(milliseconds) / 1e3;
  }

 private:
  Context& context_;
  cudaEvent_t start_ = nullptr;
  cudaEvent_t end_ = nullptr;
};

// Rounds per second of enqueue(rounds) over about `seconds`. From `rounds` on, their number doubles
// until a launch's overhead is small beside them.
template <class Enqueue>
double rate_of(Operation& op, double seconds, int64_t rounds, Enqueue&& enqueue) {
  Stopwatch stopwatch(op.context);
  const double least = std::min(seconds / 4, 0.1);
  double done = 0;
  double elapsed = 0;
  while (elapsed < seconds) {
    const double taken = stopwatch.seconds_of([&] { enqueue(rounds); });
    if (taken < least) {
      rounds *= 2;
      continue;
    }
    done += static_cast<double>(rounds);
    elapsed += taken;
  }
  return done / elapsed;
}

}  // namespace
}  // namespace remoe

using namespace remoe;

int32_t remoe_probe_fma(uint64_t context, int32_t dtype, int32_t threads, double seconds,
                        double* gflops) {
  return guard(context, "probe_fma", [&](Operation& op) {
    require_float(dtype);
    if (dtype == REMOE_BF16 && gpu::kEmulated) {
      fail(REMOE_UNSUPPORTED, "the emulated device has no unit for bf16 products");
    }
    require(gflops != nullptr, "the pointer for the result is null");
    const int most = op.context.multiprocessors;
    require(threads >= 1 && threads <= most,
            "threads is %d, but the device has 1 to %d multiprocessors", threads, most);
    require_seconds(seconds);
    const Scratch<float> sink(op, static_cast<size_t>(threads) * kThreads);
    const auto kernel = dtype == REMOE_BF16 ? kMmaKernel : fma_kernel;
    const double rate = rate_of(op, seconds, 256, [&](int64_t rounds) {
      op.launch(kernel, dim3(static_cast<unsigned>(threads)), dim3(kThreads), 0, sink.data(),
                rounds);
    });
    // Per block and round: a chain is one multiply-add of a thread, or a 16 x 8 x 16 product of a
    // warp, with half as many.
    const double operations = dtype == REMOE_BF16
                                  ? 2.0 * 16 * 8 * 16 * (kThreads / 32) * (kChains / 2)
                                  : 2.0 * kThreads * kChains;
    *gflops = rate * operations * threads / 1e9;
  });
}

int32_t remoe_probe_copy(uint64_t context, uint64_t bytes, double seconds,
                         double* gigabytes_per_second) {
  return guard(context, "probe_copy", [&](Operation& op) {
    require(gigabytes_per_second != nullptr, "the pointer for the result is null");
    require(bytes >= 1, "bytes is 0, but at least 1 is needed");
    require_seconds(seconds);
    const Scratch<unsigned char> source(op, bytes);
    const Scratch<unsigned char> target(op, bytes);
    op.check(cudaMemsetAsync(source.data(), 1, bytes, op.context.stream));
    const double rate = rate_of(op, seconds, 1, [&](int64_t rounds) {
      for (int64_t round = 0; round < rounds; round++) {
        op.check(cudaMemcpyAsync(target.data(), source.data(), bytes, cudaMemcpyDeviceToDevice,
                                 op.context.stream));
      }
    });
    *gigabytes_per_second = 2 * rate * static_cast<double>(bytes) / 1e9;
  });
}

// The machine's limits, as a yardstick for the kernels.
#include <cstring>

#include "per_isa/gemm/micro_gemm.h"
#include "per_isa/kernel.h"
#include "runtime/clock.h"
#include "runtime/dtype.h"
#include "runtime/machine.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {

// As many independent chains as the register tile has accumulators, so that only the multiply-add
// units limit the loop: a latency of 4 times 2 units needs 8.
double probe_fma_pass(const Context&, int64_t rounds, float* sink) {
  constexpr int kChains = kTileRows * kTileVectors;
  Vec chain[kChains];
  for (int i = 0; i < kChains; ++i) chain[i] = broadcast(1.0f + static_cast<float>(i));
  // x -> 0.5 x + 1 stays near 2, far from infinity and from slow subnormals.
  const Vec factor = broadcast(0.5f), term = broadcast(1.0f);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kChains; ++i) chain[i] = chain[i] * factor + term;
  }
  Vec total{};
  for (int i = 0; i < kChains; ++i) total += chain[i];
  *sink = sum(total);
  return 2.0 * kChains * kLanes * static_cast<double>(rounds);
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(probe_fma_pass)
REMOE_DECLARE_BF16(probe_dot_pass, double(const Context&, int64_t rounds, float* sink))

using namespace remoe;

namespace {

void require_seconds(double seconds) {
  require(seconds > 0 && seconds <= 60, REMOE_INVALID_ARGUMENT,
          "seconds is %g, but must be above 0 and at most 60", seconds);
}

// Operations per second of the calling thread, over at least `seconds`.
double rate_of(Context& context, int32_t dtype, double seconds, float* sink) {
  constexpr int64_t kRounds = 20000;  // about 0.1 ms
  const double start = seconds_now();
  double operations = 0, elapsed = 0;
  do {
    operations += dtype == REMOE_F32 ? REMOE_DISPATCH(context, probe_fma_pass, kRounds, sink)
                                     : REMOE_DISPATCH_BF16(context, probe_dot_pass, kRounds, sink);
    elapsed = seconds_now() - start;
  } while (elapsed < seconds);
  return operations / elapsed;
}

}  // namespace

int32_t remoe_probe_fma(uint64_t context, int32_t dtype, int32_t threads, double seconds,
                        double* gflops) {
  return guard(context, "probe_fma", [&](Context& c) {
    require_float(dtype);
    require(dtype == REMOE_F32 || c.isa == Isa::kAvx512Bf16, REMOE_UNSUPPORTED,
            "the %s instruction set has no unit for bf16 products", name_of(c.isa));
    require(gflops != nullptr, REMOE_INVALID_ARGUMENT, "the pointer for the result is null");
    require(threads >= 1 && threads <= c.threads, REMOE_INVALID_ARGUMENT,
            "threads is %d, but the context has 1 to %d", threads, c.threads);
    require_seconds(seconds);
    double rate = 0;
#pragma omp parallel num_threads(threads) reduction(+ : rate)
    {
      float sink;
      rate += rate_of(c, dtype, seconds, &sink);
    }
    *gflops = rate / 1e9;
  });
}

int32_t remoe_probe_copy(uint64_t context, uint64_t bytes, double seconds,
                         double* gigabytes_per_second) {
  return guard(context, "probe_copy", [&](Context& c) {
    require(gigabytes_per_second != nullptr, REMOE_INVALID_ARGUMENT,
            "the pointer for the result is null");
    require(bytes >= 1, REMOE_INVALID_ARGUMENT, "bytes is 0, but at least 1 is needed");
    require_seconds(seconds);
    Scratch<uint8_t> source(c, bytes), target(c, bytes);
    const auto each_part = [&](auto&& body) {
      parallel_parts(c, c.threads, [&](int part) {
        const Range range = part_of(static_cast<int64_t>(bytes), c.threads, part, 4096);
        if (range.begin < range.end) body(range.begin, range.end - range.begin);
      });
    };
    // Each thread touches its part first, so that pages are mapped before the clock starts.
    each_part([&](int64_t first, int64_t count) {
      std::memset(source.data() + first, 1, count);
      std::memset(target.data() + first, 2, count);
    });
    const double start = seconds_now();
    double elapsed = 0, copied = 0;
    do {
      each_part([&](int64_t first, int64_t count) {
        std::memcpy(target.data() + first, source.data() + first, count);
      });
      copied += static_cast<double>(bytes);
      elapsed = seconds_now() - start;
    } while (elapsed < seconds);
    *gigabytes_per_second = 2 * copied / elapsed / 1e9;
  });
}
#endif  // REMOE_ENTRY_POINTS

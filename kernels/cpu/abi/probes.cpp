// What the machine can do at most.
#include <chrono>
#include <cstring>

#include "per_isa/kernels.h"
#include "runtime/parallel.h"

using namespace remoe;

namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void require_seconds(double seconds) {
  require(seconds > 0 && seconds <= 60, REMOE_INVALID_ARGUMENT,
          "seconds is %g, but above 0 and at most 60 are possible", seconds);
}

// Operations a second of the calling thread, over at least `seconds`.
double fma_rate(Context& context, double seconds, float* sink) {
  constexpr int64_t kRounds = 20000;  // of 0.1 ms or so
  const double start = seconds_now();
  double operations = 0, elapsed = 0;
  do {
    operations += REMOE_DISPATCH(context, probe_fma_pass, kRounds, sink);
    elapsed = seconds_now() - start;
  } while (elapsed < seconds);
  return operations / elapsed;
}

}  // namespace

extern "C" {

int32_t remoe_probe_fma(uint64_t context, int32_t threads, double seconds, double* gflops) {
  return guard(context, "probe_fma", [&](Context& c) {
    require(gflops != nullptr, REMOE_INVALID_ARGUMENT, "the place for the result is null");
    require(threads >= 1 && threads <= c.threads, REMOE_INVALID_ARGUMENT,
            "threads is %d, but the context has 1 to %d", threads, c.threads);
    require_seconds(seconds);
    double rate = 0;
#pragma omp parallel num_threads(threads) reduction(+ : rate)
    {
      float sink;
      rate += fma_rate(c, seconds, &sink);
    }
    *gflops = rate / 1e9;
  });
}

int32_t remoe_probe_copy(uint64_t context, uint64_t bytes, double seconds,
                         double* gigabytes_per_second) {
  return guard(context, "probe_copy", [&](Context& c) {
    require(gigabytes_per_second != nullptr, REMOE_INVALID_ARGUMENT,
            "the place for the result is null");
    require(bytes >= 1, REMOE_INVALID_ARGUMENT, "bytes is 0, but at least 1 is needed");
    require_seconds(seconds);
    Scratch<uint8_t> source(c, bytes), target(c, bytes);
    const auto each_part = [&](auto&& body) {
      parallel_parts(c, c.threads, [&](int part) {
        const Range range = part_of(static_cast<int64_t>(bytes), c.threads, part, 4096);
        if (range.begin < range.end) body(range.begin, range.end - range.begin);
      });
    };
    // Each thread touches its part first: pages get mapped before the clock runs.
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
}

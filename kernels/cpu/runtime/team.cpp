#include "runtime/team.h"

#include <omp.h>

#include <algorithm>
#include <latch>
#include <system_error>
#include <thread>
#include <vector>

namespace remoe {
namespace {

// How many of `wanted` threads, the calling one among them, the system lets run at once. GNU OpenMP
// ends the process where a thread cannot be started, so that this is asked first.
int startable_threads(int wanted) {
  std::latch counted(1);
  std::vector<std::jthread> threads;
  try {
    threads.reserve(wanted - 1);
    while (static_cast<int>(threads.size()) < wanted - 1) {
      threads.emplace_back([&counted] { counted.wait(); });
    }
  } catch (const std::system_error&) {
  } catch (const std::bad_alloc&) {
  }
  counted.count_down();
  return static_cast<int>(threads.size()) + 1;
}

std::string limit_of(int threads, int startable) {
  if (omp_get_max_active_levels() == 0) return "OMP_MAX_ACTIVE_LEVELS=0";
  if (omp_get_thread_limit() <= threads) {
    return "OMP_THREAD_LIMIT=" + std::to_string(omp_get_thread_limit());
  }
  return startable <= threads ? "the system starts no more" : "OpenMP grants no more";
}

}  // namespace

void use_team(int threads) noexcept {
  omp_set_dynamic(0);
  omp_set_num_threads(threads);
}

bool has_team(int threads) noexcept {
  return threads == 1 || (!omp_get_dynamic() && omp_get_max_threads() == threads &&
                          omp_get_thread_limit() >= threads &&
                          omp_get_active_level() < omp_get_max_active_levels());
}

Team measure_team(int wanted) {
  const int startable = startable_threads(wanted);
  use_team(startable);
  int threads = 1;
#pragma omp parallel num_threads(startable)
#pragma omp single
  threads = omp_get_num_threads();
  return {threads, threads < wanted ? limit_of(threads, startable) : ""};
}

}  // namespace remoe

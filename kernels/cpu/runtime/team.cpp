#include "runtime/team.h"

#include <omp.h>
#include <pthread.h>

#include <cctype>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <latch>
#include <new>
#include <optional>
#include <string_view>
#include <vector>

namespace remoe {
namespace {

// The stack size that GNU OpenMP gives each of its threads, as set in the environment.
struct StackSize {
  size_t bytes = 0;  // 0: the system's
  std::string setting;
};

// "512k", "1 G"; KiB if there is no unit. Nothing if OpenMP would reject it, too.
std::optional<size_t> stack_bytes(const char* text) {
  char* end = nullptr;
  errno = 0;
  const unsigned long value = std::strtoul(text, &end, 10);
  if (end == text || errno != 0) return std::nullopt;
  while (std::isspace(static_cast<unsigned char>(*end))) ++end;
  constexpr std::string_view units = "bkmg";
  const char unit = *end == '\0' ? 'k' : static_cast<char>(std::tolower(*end++));
  const size_t power = units.find(unit);
  while (std::isspace(static_cast<unsigned char>(*end))) ++end;
  if (power == units.npos || *end != '\0') return std::nullopt;
  const size_t shift = 10 * power;
  if (value > (SIZE_MAX >> shift)) return std::nullopt;
  return value << shift;
}

StackSize stack_of_threads() {
  for (const char* name : {"OMP_STACKSIZE", "GOMP_STACKSIZE"}) {
    const char* text = std::getenv(name);
    if (text == nullptr) continue;
    if (const auto bytes = stack_bytes(text)) return {*bytes, std::string(name) + "=" + text};
  }
  return {};
}

// Read when the library is loaded, which is when OpenMP reads it.
const StackSize stack_size = stack_of_threads();

// How many of `wanted` threads, including the calling one, the system lets run at once with the
// stacks OpenMP will request. GNU OpenMP ends the process if a thread cannot be started, so this is
// tried first.
int startable_threads(int wanted) {
  std::latch counted(1);
  std::vector<pthread_t> threads;
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return 1;
  // Below the system's minimum size OpenMP falls back to the default, and so does this.
  if (stack_size.bytes > 0) pthread_attr_setstacksize(&attributes, stack_size.bytes);
  const auto wait = [](void* latch) -> void* {
    static_cast<std::latch*>(latch)->wait();
    return nullptr;
  };
  try {
    threads.reserve(wanted - 1);
    pthread_t thread;
    while (static_cast<int>(threads.size()) < wanted - 1 &&
           pthread_create(&thread, &attributes, wait, &counted) == 0) {
      threads.push_back(thread);
    }
  } catch (const std::bad_alloc&) {
  }
  counted.count_down();
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  return static_cast<int>(threads.size()) + 1;
}

std::string limit_of(int threads, int startable) {
  if (omp_get_max_active_levels() == 0) return "OMP_MAX_ACTIVE_LEVELS=0";
  if (omp_get_thread_limit() <= threads) {
    return "OMP_THREAD_LIMIT=" + std::to_string(omp_get_thread_limit());
  }
  if (startable > threads) return "OpenMP grants no more";
  return stack_size.bytes > 0 ? "the system starts no more with " + stack_size.setting
                              : "the system starts no more";
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

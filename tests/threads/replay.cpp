// Replays the calls of recorded cases under a thread checker. Arguments: the data, the number of
// threads, and whether to race on purpose, to show that races are found.
#include <omp.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "remoe.h"

static uint64_t context;
static std::vector<char> data;
static std::vector<uint64_t> blocks;

static void check(const char* function, int32_t status) {
  if (status == REMOE_OK) return;
  std::vector<uint8_t> message(512);
  remoe_context_message(context, message.data(), message.size() - 1);
  std::fprintf(stderr, "%s: %s\n", function, reinterpret_cast<const char*>(message.data()));
  std::exit(1);
}

static uint64_t allocate(uint64_t bytes) {
  uint64_t address = 0;
  check("allocate", remoe_memory_allocate(context, bytes, &address));
  blocks.push_back(address);
  return address;
}

static void free_all() {
  check("free", remoe_memory_free(context, blocks.data(), static_cast<int32_t>(blocks.size())));
  blocks.clear();
}

static void write(uint64_t address, uint64_t from, uint64_t bytes) {
  std::memcpy(reinterpret_cast<void*>(address), data.data() + from, bytes);
}

static void write_address(uint64_t address, uint64_t value) {
  std::memcpy(reinterpret_cast<void*>(address), &value, sizeof value);
}

#include "recorded_calls.inc"

static int race() {
  int sum = 0;
#pragma omp parallel num_threads(4)
  for (int i = 0; i < 1000; ++i) sum += i;
  return sum;
}

int main(int, char** arguments) {
  if (std::string(arguments[3]) == "race") return race() == 0;
  std::ifstream file(arguments[1], std::ios::binary);
  data.assign(std::istreambuf_iterator<char>(file), {});
  std::vector<uint8_t> message(512);
  const int threads = std::atoi(arguments[2]);
  if (remoe_context_create(0, threads, &context, message.data(), message.size()) != REMOE_OK) {
    std::fprintf(stderr, "%s\n", reinterpret_cast<const char*>(message.data()));
    return 1;
  }
  replay();
  return remoe_context_destroy(context);
}

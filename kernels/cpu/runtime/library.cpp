#include <algorithm>
#include <cstdio>
#include <cstring>

#include "runtime/gemm.h"
#include "runtime/machine.h"
#include "runtime/pool_options.h"

using namespace remoe;

namespace {

constexpr int32_t kMostThreads = 4096;

// Writes as much of `text` as fits, and returns its full length in bytes.
int32_t give(const std::string& text, uint8_t* buffer, uint64_t length) {
  if (buffer != nullptr) {
    std::memcpy(buffer, text.data(), std::min<uint64_t>(length, text.size()));
  }
  return static_cast<int32_t>(text.size());
}

std::string quoted(const std::string& text) {
  std::string json;
  json.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') json.push_back('\\');
    if (static_cast<unsigned char>(c) >= 0x20) json.push_back(c);
  }
  json.push_back('"');
  return json;
}

std::string build_json() {
  std::string isas;
  for (const Isa isa : compiled_isas()) {
    if (!isas.empty()) isas.push_back(',');
    isas += quoted(name_of(isa));
  }
  return "{\"backend\":\"cpu\",\"version\":" + quoted(REMOE_VERSION) +
         ",\"compiler\":" + quoted(REMOE_COMPILER) +
         ",\"gemm\":" + quoted(gemm_library(has_onednn())) + ",\"isa\":[" + isas + "]}";
}

// Empty unless there are fewer threads than requested.
std::string limit_json(const Context& context) {
  if (context.team.limit.empty()) return "";
  return ",\"threads_wanted\":" + std::to_string(context.threads_wanted) +
         ",\"threads_limit\":" + quoted(context.team.limit);
}

std::string device_json(const Context& context) {
  return "{\"backend\":\"cpu\",\"name\":" + quoted(processor_name()) +
         ",\"isa\":" + quoted(name_of(context.isa)) +
         ",\"threads\":" + std::to_string(context.threads) + limit_json(context) +
         ",\"gemm\":" + quoted(gemm_library(context.dense_by_onednn)) +
         ",\"bf16\":" + quoted(context.isa == Isa::kAvx512Bf16 ? "avx512_bf16" : "fp32") +
         ",\"memory_bytes\":" + std::to_string(memory_bytes()) + "}";
}

uint64_t open_context(int32_t ordinal, int32_t threads) {
  require(ordinal == 0, REMOE_NO_DEVICE, "there is no CPU device %d, only 0", ordinal);
  require(threads >= 0 && threads <= kMostThreads, REMOE_INVALID_ARGUMENT,
          "threads is %d, but must be 0 (all cores) to %d", threads, kMostThreads);
  // An instruction set is capped to test our code for it, not oneDNN's.
  const Isa isa = chosen_isa();
  const bool onednn = has_onednn() && isa == best_isa();
  auto context = std::make_unique<Context>(threads > 0 ? threads : available_cores(), isa, onednn,
                                           pool_options());
  const uint64_t handle = register_context(context.get());
  context.release();  // owned by the table from here on
  return handle;
}

bool has_intact_memory(Context& context) noexcept {
  try {
    context.pool.check_live_blocks();
    context.pinned_pool.check_live_blocks();
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace

int32_t remoe_abi_version(void) { return REMOE_ABI_VERSION; }

int32_t remoe_build_info(uint8_t* buffer, uint64_t length) {
  try {
    return give(build_json(), buffer, length);
  } catch (...) {
    return 0;
  }
}

int32_t remoe_context_create(int32_t ordinal, int32_t threads, uint64_t* context, uint8_t* message,
                             uint64_t length) {
  int32_t status = REMOE_INTERNAL;
  const char* reason = "unknown error";
  std::string text;
  try {
    require(context != nullptr, REMOE_INVALID_ARGUMENT, "the pointer for the context is null");
    *context = open_context(ordinal, threads);
    return REMOE_OK;
  } catch (Error& error) {
    status = error.status;
    text.swap(error.message);
    reason = text.c_str();
  } catch (const std::bad_alloc&) {
    status = REMOE_OUT_OF_MEMORY;
    reason = "the host is out of memory";
  } catch (...) {
  }
  if (message != nullptr && length > 0) {
    std::snprintf(reinterpret_cast<char*>(message), length, "context_create: %s", reason);
  }
  return status;
}

int32_t remoe_context_destroy(uint64_t context) {
  Context* open = take_context(context);
  if (open == nullptr) return REMOE_INVALID_CONTEXT;
  const bool intact = has_intact_memory(*open);
  delete open;
  return intact ? REMOE_OK : REMOE_INTERNAL;
}

int32_t remoe_context_message(uint64_t context, uint8_t* buffer, uint64_t length) {
  Context* open = find_context(context);
  if (open == nullptr) return 0;
  const int32_t bytes = give(open->message, buffer, length);
  if (buffer != nullptr && length >= open->message.size()) open->message.clear();
  return bytes;
}

int32_t remoe_context_info(uint64_t context, uint8_t* buffer, uint64_t length) {
  const Context* open = find_context(context);
  if (open == nullptr) return 0;
  try {
    return give(device_json(*open), buffer, length);
  } catch (...) {
    return 0;
  }
}

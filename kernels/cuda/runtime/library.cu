// What the library reports about itself, and the lifetime of contexts.

#include <cstdio>
#include <cstring>
#include <memory>

#include "runtime/operation.h"

namespace remoe {
namespace {

#ifndef REMOE_VERSION
#define REMOE_VERSION "unversioned"
#endif

#define REMOE_TEXT_OF(x) #x
#define REMOE_TEXT(x) REMOE_TEXT_OF(x)

#ifdef __CUDACC__
constexpr char kCompiler[] =
    "nvcc " REMOE_TEXT(__CUDACC_VER_MAJOR__) "." REMOE_TEXT(__CUDACC_VER_MINOR__);
constexpr char kArchitectures[] = "\"sm_80\",\"sm_90a\",\"compute_80\"";
#else
constexpr char kCompiler[] = "g++ " __VERSION__;
constexpr char kArchitectures[] = "\"emulated\"";
#endif
constexpr const char* kBackend = gpu::kEmulated ? "emulated" : "cuda";

// Of which the device decides.
constexpr char kGemm[] = "simt, mma, wgmma";

// Returns the length of the text in bytes, whether or not it fits.
int32_t write_text(const std::string& text, uint8_t* buffer, uint64_t length) {
  if (buffer != nullptr) {
    std::memcpy(buffer, text.data(), text.size() < length ? text.size() : length);
  }
  return static_cast<int32_t>(text.size());
}

// A device's name, escaped for a JSON string.
std::string escaped(const char* name) {
  std::string text;
  for (; *name != '\0'; name++) {
    if (*name == '"' || *name == '\\') text += '\\';
    if (static_cast<unsigned char>(*name) >= 0x20) text += *name;
  }
  return text;
}

std::string describe_device(Context& context) {
  cudaDeviceProp properties = {};
  context.check(cudaGetDeviceProperties(&properties, context.ordinal), "reading the properties");
  return std::string("{\"backend\":\"") + kBackend + "\",\"name\":\"" + escaped(properties.name) +
         "\",\"isa\":\"sm_" + std::to_string(properties.major * 10 + properties.minor) +
         "\",\"threads\":" + std::to_string(properties.multiProcessorCount) + ",\"gemm\":\"" +
         gemm_name(context.gemm_path) + "\",\"bf16\":\"" + bf16_unit(context.gemm_path) +
         "\",\"memory_bytes\":" + std::to_string(properties.totalGlobalMem) + "}";
}

void write_reason(const char* reason, uint8_t* buffer, uint64_t length) noexcept {
  if (buffer == nullptr || length == 0) return;
  std::snprintf(reinterpret_cast<char*>(buffer), length, "%s", reason);
}

}  // namespace
}  // namespace remoe

int32_t remoe_abi_version(void) { return REMOE_ABI_VERSION; }

int32_t remoe_build_info(uint8_t* buffer, uint64_t length) {
  using namespace remoe;
  try {
    const std::string text = std::string("{\"backend\":\"") + kBackend +
                             "\",\"version\":\"" REMOE_VERSION "\",\"compiler\":\"" + kCompiler +
                             "\",\"gemm\":\"" + kGemm + "\",\"isa\":[" + kArchitectures + "]}";
    return write_text(text, buffer, length);
  } catch (...) {
    return 0;
  }
}

int32_t remoe_context_create(int32_t ordinal, int32_t threads, uint64_t* context, uint8_t* message,
                             uint64_t length) {
  using namespace remoe;
  try {
    require(context != nullptr, "the pointer for the context is null");
    require(threads >= 0, "threads is %d, but at least 0 is needed", threads);
    auto opened = std::make_unique<Context>(ordinal);
    context[0] = register_context(opened.get());
    opened.release();  // owned by the table until remoe_context_destroy
    return REMOE_OK;
  } catch (const Error& error) {
    write_reason(error.message.c_str(), message, length);
    return error.status;
  } catch (...) {
    write_reason("the host is out of memory", message, length);
    return REMOE_OUT_OF_MEMORY;
  }
}

int32_t remoe_context_destroy(uint64_t context) {
  remoe::Context* opened = remoe::take_context(context);
  if (opened == nullptr) return REMOE_INVALID_CONTEXT;
  delete opened;
  return REMOE_OK;
}

int32_t remoe_context_message(uint64_t context, uint8_t* buffer, uint64_t length) {
  remoe::Context* opened = remoe::find_context(context);
  if (opened == nullptr) return 0;
  const int32_t needed = remoe::write_text(opened->message, buffer, length);
  // If the buffer is too short, the message stays to be read again.
  if (static_cast<uint64_t>(needed) <= length) opened->message.clear();
  return needed;
}

int32_t remoe_context_info(uint64_t context, uint8_t* buffer, uint64_t length) {
  int32_t needed = 0;
  remoe::guard(context, "context_info", [&](remoe::Operation& op) {
    needed = remoe::write_text(remoe::describe_device(op.context), buffer, length);
  });
  return needed;
}

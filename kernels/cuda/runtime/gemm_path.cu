#include <cstdlib>
#include <string>

#include "runtime/errors.h"
#include "runtime/gemm_path.h"

namespace remoe {

GemmPath choose_gemm_path(bool is_hopper) {
  const char* variable = std::getenv("REMOE_CUDA_GEMM");
  const std::string wanted = variable == nullptr ? "" : variable;
  if (wanted == "mma") return GemmPath::kMma;
  if (!wanted.empty() && wanted != "wgmma") {
    fail(REMOE_UNSUPPORTED, "REMOE_CUDA_GEMM is \"%s\": this build has mma and wgmma",
         wanted.c_str());
  }
  if (wanted == "wgmma" && !is_hopper) {
    fail(REMOE_UNSUPPORTED,
         "REMOE_CUDA_GEMM is wgmma, which only devices of compute capability 9.0 have");
  }
  return is_hopper ? GemmPath::kUncheckedWgmma : GemmPath::kMma;
}

const char* gemm_name(GemmPath path) {
  switch (path) {
    case GemmPath::kMma:
      return "mma";
    case GemmPath::kWrongWgmma:
      return "mma (wgmma disagrees with it on this device)";
    default:
      return "wgmma";
  }
}

const char* bf16_unit(GemmPath path) {
  return path == GemmPath::kUncheckedWgmma || path == GemmPath::kWgmma ? "wgmma" : "mma";
}

}  // namespace remoe

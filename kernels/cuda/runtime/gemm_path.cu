#include <cstdlib>
#include <string>

#include "runtime/errors.h"
#include "runtime/gemm_path.h"

namespace remoe {

GemmPath choose_gemm_path(bool is_hopper) {
  const char* variable = std::getenv("REMOE_CUDA_GEMM");
  const std::string wanted = variable == nullptr ? "" : variable;
  if (wanted == "simt") return GemmPath::kSimt;
  if (!wanted.empty() && wanted != "wgmma") {
    fail(REMOE_UNSUPPORTED, "REMOE_CUDA_GEMM is \"%s\": this build has simt and wgmma",
         wanted.c_str());
  }
  if (wanted == "wgmma" && !is_hopper) {
    fail(REMOE_UNSUPPORTED,
         "REMOE_CUDA_GEMM is wgmma, which only devices of compute capability 9.0 have");
  }
  return is_hopper ? GemmPath::kUncheckedTensorCores : GemmPath::kSimt;
}

const char* gemm_name(GemmPath path) {
  switch (path) {
    case GemmPath::kSimt:
      return "simt";
    case GemmPath::kWrongTensorCores:
      return "simt (wgmma disagrees with it on this device)";
    default:
      return "wgmma";
  }
}

const char* bf16_unit(GemmPath path) {
  return path == GemmPath::kUncheckedTensorCores || path == GemmPath::kTensorCores ? "wgmma"
                                                                                   : "fp32";
}

}  // namespace remoe

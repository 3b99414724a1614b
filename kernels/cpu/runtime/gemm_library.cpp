#include "runtime/gemm_library.h"

#if defined(REMOE_WITH_ONEDNN)
#include <dnnl.h>
#endif

namespace remoe {

bool has_onednn() {
#if defined(REMOE_WITH_ONEDNN)
  return true;
#else
  return false;
#endif
}

std::string gemm_library([[maybe_unused]] bool onednn) {
#if defined(REMOE_WITH_ONEDNN)
  if (onednn) {
    const dnnl_version_t* version = dnnl_version();
    return "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
           std::to_string(version->patch);
  }
#endif
  return "blocked";
}

}  // namespace remoe

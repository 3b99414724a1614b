#include "gemm_library.h"

#if defined(REMOE_WITH_ONEDNN)
#include <dnnl.h>
#endif

namespace remoe {

std::string gemm_library() {
#if defined(REMOE_WITH_ONEDNN)
  const dnnl_version_t* version = dnnl_version();
  return "oneDNN " + std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
         std::to_string(version->patch);
#else
  return "blocked";
#endif
}

}  // namespace remoe

// What dense products run on, for the build's description.
#pragma once

#include <string>

namespace remoe {

std::string gemm_library();

}  // namespace remoe

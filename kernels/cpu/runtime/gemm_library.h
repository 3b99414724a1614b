// What dense products run on, for descriptions of the build and of a context.
#pragma once

#include <string>

namespace remoe {

// Whether oneDNN is built in.
bool has_onednn();

// "oneDNN <version>", or "blocked" for the GEMM of this library.
std::string gemm_library(bool onednn);

}  // namespace remoe

// Products of a bf16 and an fp32 matrix on the FMA cores.
#include "gemm/simt_kernel.h"

namespace remoe {

template <>
void launch_simt<float, Bf16>(Operation& op, SimtTile, const Product& product, const SimtProduct& p,
                              int splits) {
  launch_simt<SimtLoop<MediumTile>, float, Bf16>(op, product, p, splits);
}

template <>
void launch_simt<Bf16, float>(Operation& op, SimtTile, const Product& product, const SimtProduct& p,
                              int splits) {
  launch_simt<SimtLoop<MediumTile>, Bf16, float>(op, product, p, splits);
}

}  // namespace remoe

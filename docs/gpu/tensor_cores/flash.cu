#include "flash.h"
#include "launch.h"

namespace remoe {
namespace {

template <int kHead>
int flash(const FlashArguments& a, const bf16* q, const bf16* k, const bf16* v, int pitch,
          int blocks, uint64_t stream) {
  TensorMap q_map = {}, k_map = {}, v_map = {};
  int rc = encode_map(&q_map, q, a.batch, a.length, a.heads * kHead, pitch);
  if (rc == 0) rc = encode_map(&k_map, k, a.batch, a.length, a.groups * kHead, pitch);
  if (rc == 0) rc = encode_map(&v_map, v, a.batch, a.length, a.groups * kHead, pitch);
  if (rc != 0) return rc;
  return launch_flash<kHead>(blocks, stream, a, q_map, k_map, v_map);
}

}  // namespace
}  // namespace remoe

// q, k and v lie `pitch` elements a token apart.
EXPORT int tensor_cores_flash(uint64_t o, uint64_t lse, uint64_t q, uint64_t k, uint64_t v,
                              int batch, int length, int heads, int groups, int head, int pitch,
                              int alternate, int blocks, uint64_t stream) {
  using namespace remoe;
  const FlashArguments a = {reinterpret_cast<bf16*>(o),
                            reinterpret_cast<float*>(lse),
                            batch,
                            length,
                            heads,
                            groups,
                            head == 64 ? 0.125f : 0.08838834764831845f,
                            alternate};
  const auto at = [](uint64_t p) { return reinterpret_cast<const bf16*>(p); };
  if (head == 64) return flash<64>(a, at(q), at(k), at(v), pitch, blocks, stream);
  if (head == 128) return flash<128>(a, at(q), at(k), at(v), pitch, blocks, stream);
  return -1;
}

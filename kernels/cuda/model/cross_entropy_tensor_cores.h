// The output head on Hopper's tensor cores: logits become normalizers or gradients before they
// leave the multiprocessor, so that fp32 logits cost no memory.
#pragma once

#include "device/bf16.h"
#include "runtime/operation.h"

namespace remoe {

// What logits = x W follow from, and their targets.
struct BF16Head {
  const Bf16* x;           // [T, D]
  const Bf16* w;           // [D, V]
  const int32_t* targets;  // [T]
  int tokens;
  int hidden;
  int vocabulary;
};

// Whether the head runs there, with logits or their gradients in rows of `stride` at `logits`;
// null: none.
bool fits_tensor_cores(Operation& op, const BF16Head& head, const Bf16* logits, int64_t stride);

// {maximum, sum of exponentials} of each row to `normalizer`, the logits of targets in the
// vocabulary to `target_logit`, and the logits to `kept`, unless that is null.
void normalize_logits(Operation& op, const BF16Head& head, float* normalizer, float* target_logit,
                      Bf16* kept, int64_t stride);

// dz of columns [begin, end) from the rows' {m, factor, scale}: exp(z - m) * factor, less scale at
// the target.
void differentiate_logits(Operation& op, const BF16Head& head, const float* row_factors, int begin,
                          int end, Bf16* dz, int64_t stride);

}  // namespace remoe

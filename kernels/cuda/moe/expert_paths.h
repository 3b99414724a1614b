// The paths of the experts' forward pass and gradient. Which of them a call takes must follow from
// its sizes and the device alone: the gradient recomputes the forward pass's h to the same bits.
#pragma once

#include "moe/expert_arguments.h"
#include "runtime/operation.h"

namespace remoe {

// Any sizes and addresses: on plain FMA cores, or in bf16 by the warps' own tensor core
// instruction.
template <class T>
void experts_forward_simt(Operation& op, const ExpertsForward<T>& call);
template <class T>
void experts_gradient_simt(Operation& op, const ExpertsGradient<T>& call);

// For a handful of tokens and no h to keep, at the speed of reading the active experts' weights.
template <class T>
bool fits_few_rows(const ExpertsForward<T>& call);
template <class T>
void experts_forward_few_rows(Operation& op, const ExpertsForward<T>& call);

// The sizes of a call, checked, with a bound for the rows of the plan.
ExpertSizes require_expert_sizes(Operation& op, int32_t tokens, int32_t hidden, int32_t width,
                                 int32_t experts, uint64_t plan);

int32_t require_kept(int32_t kept_rows);

}  // namespace remoe

"""Expert Choice: experts choose tokens."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from routing import Routing, Row, never, without_penalty

if TYPE_CHECKING:
    from router import Router


def route(router: Router, logits: Tensor, forced: Tensor | None) -> Routing:
    """Each expert takes its share of each group's tokens, by their probability."""
    settings = router.settings
    probabilities = logits.softmax(-1)
    mask = forced
    if mask is None:
        size = settings.sequence if settings.group == "sequence" else len(logits)
        share = settings.capacity * settings.active / settings.experts
        groups = probabilities.unflatten(0, (-1, size))
        chosen = groups.topk(expert_share(size, share), dim=1).indices
        empty = torch.zeros_like(groups, dtype=torch.bool)
        mask = empty.scatter(1, chosen, True).flatten(0, 1)
    return Routing(torch.where(mask, probabilities, 0), mask, logits.new_zeros(()))


def expert_share(tokens: int, share: float) -> int:
    """The whole part of `tokens * share`, at least 1; 62.999... for want of a digit is 63."""
    exact = tokens * share
    nearest = round(exact)
    is_whole = abs(exact - nearest) <= 4 * sys.float_info.epsilon * exact
    return max(1, nearest if is_whole else math.floor(exact))


EXPERT_CHOICE = Row(route, without_penalty, never)

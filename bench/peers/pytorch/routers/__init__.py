"""The routers, by their names in a configuration."""

from __future__ import annotations

from routers.dense import DENSE
from routers.expert_choice import EXPERT_CHOICE
from routers.hash import HASH
from routers.lory import LORY
from routers.relu import RELU
from routers.sigmoid import SIGMOID
from routers.sparsemixer import SPARSEMIXER
from routers.topk import TOPK
from routing import Row

ROUTERS: dict[str, Row] = {
    "dense": DENSE,
    "topk": TOPK,
    "relu": RELU,
    "lory": LORY,
    "hash": HASH,
    "sparsemixer": SPARSEMIXER,
    "expert-choice": EXPERT_CHOICE,
    "sigmoid": SIGMOID,
}

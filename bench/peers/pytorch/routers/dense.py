"""The dense model: no router."""

from __future__ import annotations

from routing import Row, never, without_penalty

DENSE = Row(None, without_penalty, never)

"""The span of the current request, if that is traced. The code of spans is imported only where traces are on."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .tracing.span import Span

current_span: ContextVar[Span | None] = ContextVar("span", default=None)

"""What all parts of a configuration share: unknown keys refused, no value taken for another type."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def _from_text(value: Any) -> Any:
    # YAML 1.1 takes 1e-3 for a text, and everyone writes it for a number
    return float(value) if isinstance(value, str) and _FLOAT.fullmatch(value) else value


def _as_jobs_get_it(value: Any) -> Any:
    try:
        same = json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError):
        same = False
    if not same:
        raise ValueError("texts, finite numbers, true, false and null, in lists and in mappings of texts")
    return value


#: What someone else's schema judges; jobs are given it as JSON, so it is nothing that JSON would change.
Plain = Annotated[Any, AfterValidator(_as_jobs_get_it)]
#: A finite number.
Number = Annotated[float, BeforeValidator(_from_text), Field(allow_inf_nan=False)]
#: Prose that tables and reports print.
Text = Annotated[str, Field(max_length=10_000)]
#: What a generator of random numbers takes.
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Strict(BaseModel):
    """A block of a configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True, strict=True)

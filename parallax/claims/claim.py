"""Claims of the literature as sentences that a run can test: the schema of claims.yaml, and its reader."""

from __future__ import annotations

import reprlib
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from parallax.data.given import given_yaml
from parallax.data.strict import Number, Strict
from parallax.errors import ConfigError, nearest
from parallax.plugin import method_cards

Fraction = Annotated[Number, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1)]


class Where(Strict):
    """The conditions that a claim is about: label fractions from one to another, alignment, annotation."""

    labels: Annotated[tuple[Fraction, Fraction], Field(strict=False)] = (0.0, 1.0)
    misalignment: Literal["aligned", "shifted"] = "aligned"
    annotation: str = "full"


class Claim(Strict):
    """One sentence and its test. docs/claims.md says what each key means.

    Kinds: `difference` (the method is above each reference), `loss` (it loses less than each reference from
    aligned to shifted images), `equivalence` (it is within `margin` of each), `not_worse` (it is below
    none by more than `margin`). Margins are Dice, not points.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    sentence: Text
    source: Text
    kind: Literal["difference", "loss", "equivalence", "not_worse"]
    method: Text
    reference: list[Text] = Field(min_length=1)
    metric: str = Field("dice", pattern="^(dice|nsd)")
    datasets: list[Text] = Field(default=["*"], min_length=1)
    modality: Literal["all", "each"] = "all"
    margin: Number = Field(0.0, ge=0, lt=1)
    where: Where = Where()
    note: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Claim:
        if (self.margin > 0) != (self.kind in ("equivalence", "not_worse")):
            raise ValueError("a margin above 0 belongs to equivalence and not_worse, and to nothing else")
        if self.kind == "loss" and "misalignment" in self.where.model_fields_set:
            raise ValueError("a loss compares aligned with shifted images: leave where.misalignment out")
        return self


class _File(Strict):
    claims: list[Claim]

    @model_validator(mode="after")
    def _unique(self) -> _File:
        ids = [claim.id for claim in self.claims]
        twice = sorted({one for one in ids if ids.count(one) > 1})
        if twice:
            raise ValueError(f"each id once, not twice: {', '.join(twice)}")
        return self


def read_claims(path: Path) -> list[Claim]:
    """Claims of a file. Raises `ConfigError` naming the key that is wrong, or the method that is unknown."""
    try:
        values = given_yaml(path)
    except ConfigError as error:
        what = "A claim cannot be read: the file is no YAML of keys"
        raise _error(what, path, error.expected, error.found) from None
    try:
        claims = _File.model_validate(values).claims
    except ValidationError as error:
        first: Any = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        what = f"A claim cannot be read: {place}"
        raise _error(what, path, first["msg"], reprlib.repr(first["input"])) from None
    known = method_cards()
    for claim in claims:
        for name in (claim.method, *claim.reference):
            _check_method(name, claim, known, path)
    return claims


def _check_method(name: str, claim: Claim, known: Collection[str], path: Path) -> None:
    method = name.partition(":")[0]
    if method not in known:
        raise ConfigError(
            f"There is no method {method!r}",
            where=f"{path.name}, claim {claim.id}",
            expected=f"one of {', '.join(sorted(known))}",
            found=name,
            remedy=nearest(method, known),
        )


def _error(what: str, path: Path, expected: str, found: str) -> ConfigError:
    remedy = "correct it; docs/claims.md lists every key with an example"
    return ConfigError(what, where=path.as_posix(), expected=expected, found=found, remedy=remedy)

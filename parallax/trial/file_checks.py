"""Checks of what a file declares, before anything is trained."""

from __future__ import annotations

import ast
from dataclasses import fields

from parallax.cards import MethodCard, check_switches
from parallax.case import Adapter
from parallax.learn.method import Method
from parallax.trial.outcome import check, require
from parallax.trial.trial import Trial

_INHERITED = "write the attribute in the class itself: the file is read without running it"


@check("plug-in file", remedy="docs/add-a-baseline.md lists the class attributes")
def plugin_file(trial: Trial) -> str:
    """It is a `Method` whose class attributes are literals, with title and source."""
    card, kind = trial.card, trial.kind
    require(issubclass(kind, Method), f"{card.class_name} is no subclass of Method", "subclass NetworkMethod")
    for name in ("title", "source"):
        text = getattr(card, name)
        require(isinstance(text, str) and text.strip() != "", f"{name} = {text!r} is no text")
    hidden = [name for name in _assigned(card) if name not in _literals(card)]
    require(not hidden, f"no literal, so nobody reads it: {', '.join(hidden)}", "write the value out")
    declared = [f.name for f in fields(MethodCard) if f.name not in ("path", "class_name", "presets")]
    unseen = [name for name in declared if getattr(kind, name, None) not in (None, getattr(card, name))]
    require(not unseen, f"set by a base class, where it is not seen: {', '.join(unseen)}", _INHERITED)
    return f"{card.title}; {_shortened(card.source)}"


@check("presets and switches", remedy="docs/add-a-baseline.md, section “What the class says”")
def presets_and_switches(trial: Trial) -> str:
    """`paper` comes first, text values are choices, and every name that is mentioned exists."""
    card = trial.card
    first = next(iter(card.presets))
    require(first == "paper", f"the first preset is {first!r}", "call it 'paper': it is the default")
    for preset, switches in card.presets.items():
        check_switches(card.name, switches, card.presets, card.choices)
        for key, value in switches.items():
            free = isinstance(value, bool | int | float) or value in card.choices.get(key, ())
            remedy = f"list all its values in choices[{key!r}]"
            require(free, f"{preset}: {key} = {value!r} is no number and no choice", remedy)
    unnamed = sorted({*card.choices, *card.at_prediction} - set(card.presets["paper"]))
    require(not unnamed, f"no switch of `paper`: {', '.join(unnamed)}", "name it in the preset `paper`")
    named = {*card.preset_adapters, *card.preset_packages, *card.without_pairs}
    unknown = sorted(named - set(card.presets))
    require(not unknown, f"no preset: {', '.join(unknown)}", "correct the name or add the preset")
    odd = sorted({card.adapter, *card.preset_adapters.values()} - set(Adapter))
    require(not odd, f"no adapter: {', '.join(odd)}", f"one of {', '.join(Adapter)}")
    return f"presets {', '.join(card.presets)}; switches {', '.join(card.presets['paper']) or 'none'}"


FILE_CHECKS = (plugin_file, presets_and_switches)


def _body(card: MethodCard) -> list[ast.stmt]:
    tree = ast.parse(card.path.read_text(encoding="utf-8"))
    return next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == card.class_name).body


def _assigned(card: MethodCard) -> dict[str, ast.expr]:
    """Attributes of the card that the class body sets, with what it sets them to."""
    known = {field.name for field in fields(MethodCard)}
    found: dict[str, ast.expr] = {}
    for statement in _body(card):
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
        value = getattr(statement, "value", None)
        found |= {t.id: value for t in targets if isinstance(t, ast.Name) and t.id in known and value}
    return found


def _literals(card: MethodCard) -> set[str]:
    return {name for name, value in _assigned(card).items() if _is_literal(value)}


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except ValueError:
        return False
    return True


def _shortened(text: str) -> str:
    return text if len(text) <= 70 else f"{text[:67]}..."

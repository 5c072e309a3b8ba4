"""Reference pages that are made from the code: command, configuration keys, plug-ins, scores, modules."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).resolve().parent.parent / "workflow" / "schemas" / "config.schema.json"
#: Modules that plug-ins and scripts of users import.
PYTHON = (
    "parallax.case",
    "parallax.errors",
    "parallax.plugin",
    "parallax.data.dataset",
    "parallax.learn.method",
    "parallax.learn.network_method",
    "parallax.learn.losses",
    "parallax.perturb.level",
    "parallax.perturb.families",
    "parallax.perturb.annotation",
    "parallax.score.metrics",
    "parallax.score.table",
)


def made_pages() -> dict[str, str]:
    """Place in the site to Markdown."""
    modules = {f"reference/python/{name}.md": f"# {name}\n\n::: {name}\n" for name in PYTHON}
    return {
        "reference/cli.md": command_page(),
        "reference/keys.md": keys_page(json.loads(SCHEMA.read_text(encoding="utf-8"))),
        "reference/plugins.md": plugins_page(),
        "reference/scores.md": scores_page(),
        **modules,
    }


def command_page() -> str:
    """Every command with its arguments and options, as `--help` has them."""
    import typer

    from parallax import cli

    group: Any = typer.main.get_command(cli.app)
    told = (cli.__doc__ or "").partition("\n\n")[2].strip()
    parts = [
        "# The command `parallax`",
        group.help,
        told,
        "`--debug` shows the traceback of a refused input.",
    ]
    for name, command in sorted(group.commands.items()):
        parts += [f"## `parallax {name}`", command.help, f"```text\n{_usage(name, command.params)}\n```"]
        rows = [(_names(p), p.help, _default(p)) for p in command.params]
        parts += [_table(("argument or option", "meaning", "default"), rows)] if rows else []
    return _page(parts)


def _usage(name: str, parameters: Iterable[Any]) -> str:
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    words = [p.name.upper() + ("..." if p.nargs < 0 else "") for p in arguments]
    needed = [f"{p.opts[0]} {p.name.upper()}" for p in parameters if p not in arguments and p.required]
    free = any(p not in arguments and not p.required for p in parameters)
    return " ".join(["parallax", name, *words, *needed, *(["[OPTIONS]"] if free else [])])


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def _default(parameter: Any) -> str:
    known = (
        parameter.default is not None and not parameter.required and not getattr(parameter, "is_flag", False)
    )
    return f"`{parameter.default}`" if known else ""


def keys_page(schema: Mapping[str, Any]) -> str:
    """Every key of a configuration, by the block that it stands in."""
    parts = [
        "# Keys of a configuration, by type",
        "Made from `workflow/schemas/config.schema.json`; unknown keys are refused. What each key means"
        " stands in [Configurations](configurations.md).",
    ]
    blocks = {schema["title"]: schema, **schema["$defs"]}
    for name, block in blocks.items():
        rows = [
            (
                f"`{key}`",
                _type(value),
                _wanted(key, value, block.get("required", ()), _budget() if name == "BudgetConfig" else {}),
            )
            for key, value in block["properties"].items()
        ]
        parts += [f"## {name}", block.get("description", ""), _table(("key", "value", "default"), rows)]
    return _page(parts)


def _wanted(key: str, value: Mapping[str, Any], needed: Sequence[str], known: Mapping[str, Any]) -> str:
    if key in needed:
        return "needed"
    default = value.get("default")
    if isinstance(default, Mapping):
        default = {name: part for name, part in default.items() if part is not None}
    default = known.get(key) if default is None else default
    return "none" if default in (None, {}, []) else f"`{json.dumps(default)}`"


def _budget() -> dict[str, Any]:
    """The defaults of a budget, which the configuration leaves to `parallax.case`."""
    from parallax.case import Budget

    return {field.name: field.default for field in fields(Budget) if field.default is not MISSING}


def _type(value: Mapping[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in value:
        return " or ".join(_type(part) for part in value["anyOf"] if part.get("type") != "null")
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"])
    if value.get("type") == "array":
        inner = value.get("items") or next(iter(value.get("prefixItems", ())), {})
        return f"list of {_type(inner)}"
    if value.get("type") == "object":
        inner = value.get("additionalProperties") or next(
            iter(value.get("patternProperties", {}).values()), None
        )
        return f"name to {_type(inner)}" if isinstance(inner, Mapping) and inner else "block"
    return " ".join([value.get("type", "any value"), *_bounds(value)])


def _bounds(value: Mapping[str, Any]) -> Iterator[str]:
    words = {
        "exclusiveMinimum": "above",
        "gt": "above",
        "minimum": "from",
        "ge": "from",
        "exclusiveMaximum": "below",
        "maximum": "to",
        "le": "to",
        "pattern": "like",
    }
    for key, word in words.items():
        if key in value:
            bound = value[key]
            yield f"{word} `{bound}`" if isinstance(bound, str) else f"{word} {bound}"


def plugins_page() -> str:
    """Methods, baselines and datasets as they declare themselves: what `parallax list` prints."""
    from parallax.plugin import dataset_cards, method_cards

    methods = [
        (f"`{card.name}`", card.title, ", ".join(f"`{p}`" for p in card.presets), card.adapter, card.source)
        for card in method_cards().values()
    ]
    datasets = [(f"`{card.name}`", card.title, card.source) for card in dataset_cards().values()]
    parts = [
        "# Methods and datasets",
        "What the files under `methods/`, `baselines/` and `datasets/` declare.",
    ]
    parts += ["## Methods", _table(("name", "title", "presets", "adapter", "source"), methods)]
    parts += ["## Datasets", _table(("name", "title", "source"), datasets)]
    return _page(parts)


def scores_page() -> str:
    """The columns of the one table that everything else is made of."""
    from parallax.score.table import IDENTITY, UNVALUED, VALUED

    parts = [
        "# Columns of `scores.csv`",
        "`scores.csv` and `scores.parquet` hold the same rows. Columns stand in this order.",
        "::: parallax.score.table.Row\n    options:\n      members: false\n",
        "**Status.** With a value: " + _listed(VALUED) + ". Without one: " + _listed(UNVALUED) + "."
        " [When a row has which](../reading-the-tables.md#status-of-a-row-of-scorescsv).",
        "**No two rows** agree in all of " + _listed(IDENTITY) + ".",
    ]
    return _page(parts)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(str(cell or "").replace("|", "\\|").split()) for cell in cells) + " |"


def _page(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"

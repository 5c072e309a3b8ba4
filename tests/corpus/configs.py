"""Configurations: every key of the schema with values of another type and out of range, and files that are none."""

import copy
from datetime import date
from math import inf, nan

import yaml

from corpus.bad_input import BadInput
from corpus.manifests import plan

#: A good configuration that has every key of the schema.
FULL = {
    "run": "bad", "title": "A title", "notes": ["a note"], "data": "/scans",
    "datasets": {
        "phantom_heart": {
            "plugin": "phantom_heart", "options": {"cases": 4}, "moved": "MR", "rank": True,
            "split": {"seed": 1, "train": 2, "validation": 0, "test": 2, "allow_overlap": False},
            "budget": {"steps": 1},
        },
        "phantom_orbit": {"split": {"seed": 1, "list": "config/splits/quick-phantom_orbit.csv"}},
    },
    "methods": ["supervised"], "presets": {"cmc": {"own": {"terms": "csc"}}}, "reference": "supervised",
    "conditions": [
        {
            "labels": [1.0], "misalignment": ["aligned", "shifted"], "annotation": ["full"],
            "datasets": ["phantom_heart"], "methods": ["supervised"], "label_draws": 1,
        },
    ],
    "misalignments": {
        "shifted": {
            "family": "rigid", "severity": 1, "rms_mm": 2.0, "knot_mm": 30.0, "covered_fraction": 0.5, "slice_mm": 3.0,
            "swapped_fraction": 0.5,
        },
    },
    "annotations": {
        "less": {
            "modalities": ["CT"], "drop": {"structures": 1, "of_cases": 0.5, "as": "background"},
            "coarse": {"as": "slices", "every": 2.0, "between": "hold"},
        },
        "rough": {"noisy": {"sigma_mm": 1.0}},
        "worse": {"coarse": {"as": "blocks", "dice": 0.9}},
        "worst": {"noisy": {"dice": 0.9}},
    },
    "test_modalities": "given", "seeds": [0], "label_draws": 1,
    "budget": {
        "steps": 1, "batch": 1, "patch": [16, 16, 16], "widths": [4, 8], "learning_rate": 0.01, "weight_decay": 0.0,
        "augment": False, "checkpoint_every_s": 60.0, "precision": "float32", "deterministic": True,
        "nnunet_steps": 1, "nnunet_spacing": 1.5,
    },
    "limits": {"train_s": 60.0, "predict_s": 60.0, "memory_mib": 1024.0}, "viewer_mib": 48.0,
    "experiment": {
        "comparable_to": "none: made", "dataset": "phantom_heart", "modalities": {"CT": "CT"},
        "structures": ["myocardium"], "test_cases": 2, "notes": ["a note"],
    },
}  # fmt: skip

_NUMBER = {
    "text": "many", "list": [1], "mapping": {"a": 1}, "bool": True, "negative": -1, "nan": nan, "infinite": inf,
    "huge": 10**30,
}  # fmt: skip
MUTATIONS = {
    int: _NUMBER | {"fraction": 1.5},
    float: _NUMBER,
    bool: {"text": "perhaps", "number": 2, "list": [True], "mapping": {"a": True}},
    str: {"number": 5, "list": ["a"], "mapping": {"a": "b"}, "bool": True},
    list: {"text": "", "number": 5, "mapping": {"a": 1}, "null": None, "nested": [[["a"]]]},
    dict: {"text": "text", "number": 5, "list": [5], "null": None},
}
#: Every value of these belongs to someone else's schema: a dataset's options, a method's switches.
_FREE = (("datasets", "phantom_heart", "options"), ("presets", "cmc", "own"))

#: Blocks that may be null, which leaves them out as a dumped configuration does.
MAY_BE_NULL = (
    "annotations.less.modalities", "annotations.less.drop", "annotations.less.coarse", "annotations.rough.noisy",
    "annotations.worse.coarse", "annotations.worst.noisy", "budget.patch", "budget.widths", "experiment",
)  # fmt: skip


def places(values, path=()):
    """Every key below, as a path."""
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        here = (*path, key)
        yield here
        if isinstance(value, dict | list) and here not in _FREE:
            yield from places(value, here)


def changed(path, value):
    values = copy.deepcopy(FULL)
    held = values
    for key in path[:-1]:
        held = held[key]
    held[path[-1]] = value
    return values


def _value(path):
    held = FULL
    for key in path:
        held = held[key]
    return held


def _plan(values):
    return lambda folder: plan(folder, values)


def _file(content):
    def build(folder):
        path = folder / "run.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return ("parallax", "plan", str(path))

    return build


_BOMB = "a: &a [" + "x, " * 50 + "x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 50)}]\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)  # fmt: skip
_GOOD = yaml.safe_dump(FULL)

#: name: what is wrong, content of the file, what is said.
FILES = {
    "empty": ("no bytes", "", "run.yaml"),
    "text": ("a text", "a text", "run.yaml"),
    "list": ("a list", "- run", "run.yaml"),
    "number": ("a number", "5", "run.yaml"),
    "no-yaml": ("a bracket that is never closed", "run: [", "run.yaml"),
    "tabs": ("tabs that indent", "budget:\n\tsteps: 1\n", "run.yaml"),
    "two-documents": ("two documents", "run: a\n---\nrun: b\n", "run.yaml"),
    "python-object": ("an object of Python", "run: !!python/object/apply:os.system [id]\n", "run.yaml"),
    "unknown-tag": ("a tag that nobody defined", "run: !mine a\n", "run.yaml"),
    "key-twice": ("a key twice", _GOOD + "run: other\n", "twice"),
    "nested-key-twice": ("a nested key twice", "budget: {steps: 1, steps: 2}\n", "twice"),
    "bomb": ("aliases that make 51^8 values", _BOMB, "aliases"),
    "endless-alias": ("a list that holds itself", "run: &a [*a]\n", "run.yaml"),
    "unknown-alias": ("an alias of nothing", "run: *a\n", "run.yaml"),
    "unhashable-key": ("a list as key", "[a]: b\n", "run.yaml"),
    "no-date": ("a day that is none", "run: 2001-99-99\n", "run.yaml"),
    "endless-number": ("a number of 5000 digits", "label_draws: " + "9" * 5000 + "\n", "run.yaml"),
    "deep": ("5000 lists in each other", "run: " + "[" * 5000 + "]" * 5000, "run.yaml"),
    "latin-1": ("Latin-1", "title: é\n".encode("latin-1"), "run.yaml"),
    "nul": ("a NUL", "run: a\0b\n", "run.yaml"),
    "binary": ("bytes of an image", bytes(range(256)), "run.yaml"),
    "ten-megabytes": ("a title of ten megabytes", _GOOD.replace("A title", "x" * 10_000_000), "title"),
}  # fmt: skip

#: Values of the right type that mean nothing: path, value, what is said.
MEANINGLESS = {
    "run-above": (("run",), "..", "run"), "run-here": (("run",), ".", "run"), "run-path": (("run",), "a/b", "run"),
    "run-absolute": (("run",), "/tmp/a", "run"), "run-empty": (("run",), "", "run"), "run-long": (("run",), "a" * 300, "run"),
    "run-newline": (("run",), "a\n", "run"), "run-hidden": (("run",), ".git", "run"),
    "dataset-above": (("datasets", ".."), {"split": {"test": 1}}, "datasets"),
    "plugin-unknown": (("datasets", "phantom_heart", "plugin"), "phantom_hart", "phantom_heart"),
    "plugin-path": (("datasets", "phantom_heart", "plugin"), "../methods/cmc", "cmc"),
    "moved-unknown": (("datasets", "phantom_heart", "moved"), "PET", "moved"),
    "split-list-absent": (("datasets", "phantom_heart", "split"), {"list": "absent.csv"}, "absent.csv"),
    "method-unknown": (("methods",), ["supervized"], "supervized"), "method-path": (("methods",), ["../cmc"], "cmc"),
    "preset-unknown": (("methods",), ["cmc:none"], "none"), "reference-unknown": (("reference",), "nonsense", "reference"),
    "preset-of-nobody": (("presets",), {"nobody": {"a": {}}}, "nobody"),
    "switch-unknown": (("presets", "cmc", "own"), {"tems": "csc"}, "tems"),
    "labels-zero": (("conditions", 0, "labels"), [0.0], "conditions.0.labels"),
    "labels-percent": (("conditions", 0, "labels"), [10], "conditions.0.labels"),
    "labels-empty": (("conditions", 0, "labels"), [], "conditions.0.labels"),
    "level-unknown": (("conditions", 0, "misalignment"), ["shfited"], "conditions.0.misalignment"),
    "conditions-empty": (("conditions",), [], "conditions"), "datasets-empty": (("datasets",), {}, "datasets"),
    "methods-empty": (("methods",), [], "methods"), "seeds-empty": (("seeds",), [], "seeds"),
    "seeds-twice": (("seeds",), [1, 1], "seeds"), "patch-two": (("budget", "patch"), [16, 16], "budget.patch"),
    "patch-odd": (("budget", "patch"), [17, 16, 16], "budget.patch"), "widths-empty": (("budget", "widths"), [], "budget.widths"),
    "unknown-key": (("budget", "step"), 1, "budget.step"), "unknown-top-key": (("colour",), "red", "colour"),
    "unknown-key-long": (("x" * 10_000_000,), 1, "Unknown key"), "two-sizes": (("misalignments", "shifted"), {"severity": 1, "rms_mm": 2.0}, "shifted"),
    "severity-off-scale": (("misalignments", "shifted"), {"severity": 99}, "shifted"),
    "option-date": (("datasets", "phantom_heart", "options"), {"seed": date(2001, 1, 1)}, "options.seed"),
    "switch-nan": (("presets", "cmc", "own", "terms"), nan, "presets.cmc.own.terms"),
    "switch-number-as-key": (("presets", "cmc", "own", "terms"), {1: "a"}, "presets.cmc.own.terms"),
    "control-characters": (("reference",), "\x1b[2J\x1b[31m", "reference"),
}  # fmt: skip


def mutations():
    """Dotted key, mutation, the whole configuration: every key of `FULL` with every value it cannot have."""
    for path in places(FULL):
        key = ".".join(map(str, path))
        for name, value in MUTATIONS[type(_value(path))].items():
            if not (name == "null" and key in MAY_BE_NULL):
                yield key, name, changed(path, value)


def cases():
    for name, (wrong, content, says) in FILES.items():
        yield BadInput("configs", f"file/{name}", wrong, _file(content), (says,))
    for name, (path, value, says) in MEANINGLESS.items():
        wrong = f"{'.'.join(map(str, path))[:80]}: {str(value)[:80]!r}"
        yield BadInput("configs", f"meaningless/{name}", wrong, _plan(changed(path, value)), (says,))

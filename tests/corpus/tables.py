"""Tables of scores, published numbers and claims that cannot be read as such."""

import json

import pandas as pd
import yaml
from tidy import toy_rows

from corpus.bad_input import BadInput
from parallax.plugin import plugin_root
from parallax.score.table import COLUMNS, to_frame, write_rows

SCORES, READ = "scores", "cannot be read"


def _lines(folder):
    write_rows(toy_rows(2), folder / "good.csv")
    lines = (folder / "good.csv").read_text().splitlines()
    (folder / "good.csv").unlink()
    return [line.split(",") for line in lines]


def _command(folder, scores, script="tables.py", **options):
    given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return (script, "--scores", str(scores), "--out", str(folder / "made"), *given)


def _with_cell(column, value):
    def change(lines):
        lines[1][COLUMNS.index(column)] = value
        return lines

    return change


def _columns(change):
    return lambda lines: [change(line) for line in lines]


#: name: what is wrong, how the cells of a good table change, what is said.
CHANGES = {
    "column-missing": ("no column case", _columns(lambda line: line[:1] + line[2:]), "other columns"),
    "column-more": ("a column more", _columns(lambda line: [*line, "x"]), "other columns"),
    "columns-turned": ("columns in another order", _columns(lambda line: line[::-1]), "other columns"),
    "header-missing": ("no header", lambda lines: lines[1:], "other columns"),
    "row-twice": ("a row twice", lambda lines: [*lines, lines[1]], "twice"),
    "value-twice": ("two values of one score", lambda lines: [*lines, _with_cell("value", "0.1")([0, [*lines[1]]])[1]], "twice"),
    "cell-missing": ("a cell less", lambda lines: [*lines[:2], lines[2][:-1]], "line 3"),
    "cell-more": ("a cell more", lambda lines: [*lines[:2], [*lines[2], "x"]], "line 3"),
    "empty-line": ("a line without cells", lambda lines: [*lines[:2], [], *lines[2:]], "line 3"),
    "open-quote": ("a quote that is never closed", lambda lines: [*lines, ['"a']], READ),
    "ten-megabytes": ("a reason of ten megabytes", _with_cell("reason", "x" * 10_000_000), READ),
    **{
        f"{column}-{name}": (f"{column}: {value!r}", _with_cell(column, value), "line 2")
        for column, values in {
            "value": {"text": "good", "nan": "nan", "infinite": "inf", "negative": "-0.5", "percent": "80", "comma": "0.8.1", "empty": ""},
            "label_fraction": {"text": "all", "zero": "0", "percent": "10", "nan": "nan", "negative": "-1"},
            "label_draw": {"text": "first", "fraction": "0.5", "empty": "", "nan": "nan"},
            "seed": {"text": "s0", "fraction": "1.5", "empty": "", "endless": "9" * 5000},
            "shift_mm": {"text": "far", "infinite": "inf"}, "rotation_deg": {"text": "N", "infinite": "-inf"},
            "tolerance_mm": {"text": "some"}, "status": {"unknown": "fine", "empty": "", "failed": "failed"},
        }.items()
        for name, value in values.items()
    },
}  # fmt: skip


def _csv(change):
    def build(folder):
        path = folder / "scores.csv"
        path.write_text("\n".join(",".join(line) for line in change(_lines(folder))) + "\n")
        return _command(folder, path)

    return build


def _raw(content, name="scores.csv", script="tables.py"):
    def build(folder):
        path = folder / name
        if content is not None:
            path.write_bytes(content)
        extra = {"run-dir": folder} if script == "figures.py" else {}
        return _command(folder, path, script, **extra)

    return build


def _frame(change):
    def build(folder):
        path = folder / "scores.parquet"
        change(to_frame(toy_rows(2))).to_parquet(path, index=False)
        return _command(folder, path)

    return build


def _cut(folder):
    path = folder / "scores.parquet"
    to_frame(toy_rows(2)).to_parquet(path, index=False)
    path.write_bytes(path.read_bytes()[:-200])
    return _command(folder, path)


def _set(column, value):
    return lambda frame: frame.assign(**{column: [value, *frame[column].iloc[1:]]})


#: name: what is wrong, how a good frame changes, what is said.
FRAMES = {
    "column-missing": ("no column case", lambda frame: frame.drop(columns="case"), "other columns"),
    "row-twice": ("a row twice", lambda frame: pd.concat([frame, frame[:1]]), "twice"),
    "values-are-texts": ("texts in numbers", lambda frame: frame.assign(value="good"), READ),
    "seeds-are-texts": ("texts in seeds", lambda frame: frame.assign(seed="s0"), READ),
    "seeds-are-missing": ("no seeds", lambda frame: frame.assign(seed=float("nan")), READ),
    "value-nan": ("NaN where the status has a value", _set("value", float("nan")), "not valid"),
    "value-infinite": ("an infinite Dice", _set("value", float("inf")), "not valid"),
    "value-percent": ("a Dice of 80", _set("value", 80.0), "not valid"),
    "value-negative": ("a Dice of -1", _set("value", -1.0), "not valid"),
    "fraction-zero": ("no labels", _set("label_fraction", 0.0), "not valid"),
    "status-unknown": ("a status that nobody knows", _set("status", "fine"), "not valid"),
    "shift-infinite": ("an infinite shift", _set("shift_mm", float("inf")), "not valid"),
}

PUBLISHED = plugin_root() / "results" / "published.csv"
CLAIMS = plugin_root() / "claims.yaml"


def _beside(name, content):
    """Good scores, and another file that the tables read."""

    def build(folder):
        scores, other = folder / "scores.csv", folder / f"{name}.x"
        write_rows(toy_rows(2), scores)
        if content is not None:
            other.write_bytes(content if isinstance(content, bytes) else content.encode())
        return _command(folder, scores, **{name: other})

    return build


def _published(change):
    lines = PUBLISHED.read_text(encoding="utf-8").splitlines()[:3]
    return "\n".join(change(lines)) + "\n"


def _claims(**changes):
    claim = yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))["claims"][0]
    return json.dumps({"claims": [claim | changes]})


#: name: the option of tables.py, what is wrong, the content of the file.
OTHERS = {
    "published-absent": ("published", "no such file", None),
    "published-empty": ("published", "no bytes", ""),
    "published-column": ("published", "a column less", _published(lambda ls: [line.partition(",")[2] for line in ls])),
    "published-cell": ("published", "a cell less", _published(lambda ls: [*ls[:2], ls[2].partition(",")[2]])),
    "published-twice": ("published", "a number twice", _published(lambda ls: [*ls, ls[1]])),
    "published-utf-16": ("published", "UTF-16", _published(lambda ls: ls).encode("utf-16")),
    "claims-absent": ("claims", "no such file", None),
    "claims-empty": ("claims", "no bytes", ""),
    "claims-list": ("claims", "a list", "[]"),
    "claims-no-yaml": ("claims", "a bracket that is never closed", "claims: ["),
    "claims-key": ("claims", "a key that nobody knows", _claims(colour="red")),
    "claims-method": ("claims", "a method that nobody knows", _claims(method="nobody")),
    "claims-kind": ("claims", "a kind that nobody knows", _claims(kind="better")),
    "claims-margin": ("claims", "a margin of NaN", _claims(margin=float("nan"))),
    "claims-id-twice": ("claims", "a key twice", "claims: []\nclaims: []\n"),
}  # fmt: skip


def cases():
    for name, (wrong, change, says) in CHANGES.items():
        yield BadInput("tables", f"csv/{name}", wrong, _csv(change), ("scores.csv", says))
    raw = {
        "empty": b"",
        "binary": bytes(range(256)),
        "utf-16": ",".join(COLUMNS).encode("utf-16"),
        "absent": None,
    }
    for name, content in raw.items():
        for script in ("tables.py", "figures.py"):
            build = _raw(content, script=script)
            yield BadInput("tables", f"csv/{name}/{script}", f"{name} file", build, ("scores.csv",))
        build = _raw(content, "scores.parquet")
        yield BadInput("tables", f"parquet/{name}", f"{name} file", build, ("scores.parquet",))
    yield BadInput("tables", "parquet/cut", "the end is missing", _cut, ("scores.parquet",))
    for name, (wrong, change, says) in FRAMES.items():
        yield BadInput("tables", f"parquet/{name}", wrong, _frame(change), ("scores.parquet", says))
    for name, (option, wrong, content) in OTHERS.items():
        yield BadInput("tables", name, wrong, _beside(option, content), (f"{option}.x",))

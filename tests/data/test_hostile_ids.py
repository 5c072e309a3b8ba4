"""Ids of cases that are markup, paths, options, devices or each other: refused before anything is written.

Each goes through the scripts as the workflow calls them. What is accepted is made of letters, digits, `.`,
`-` and `_`, which no page, table, shell or disk takes for anything else; no job gets an id on a command line.
"""

import csv
import json
import os
from dataclasses import dataclass

import pytest
from corpus.files import nifti, stored
from data_scripts import run
from scan_trees import blocks

from parallax.data.files import read_json
from parallax.data.splits import case_index
from parallax.data.store import read_case, read_part
from parallax.errors import DataError, run_script

HOSTILE = {
    "markup": ["<script>alert(1)</script>"],
    "tag": ["<img onerror=alert(1)>"],
    "quotes": ['"onload="alert(1)'],
    "path": ["../../x"],
    "slash": ["a/b"],
    "backslash": ["a\\b"],
    "absolute": ["/tmp/x"],
    "dot": ["."],
    "dots": [".."],
    "hidden": [".a"],
    "empty": [""],
    "device": ["CON"],
    "device-with-ending": ["nul.ct"],
    "space": ["a b"],
    "non-ascii": ["Zoë"],
    "digits-beyond-ascii": ["p١"],
    "line-feed": ["a\nb"],
    "nul": ["a\0b"],
    "long": ["x" * 300],
    "too-long": ["x" * 101],
    "option": ["-rf"],
    "shell": ["$(touch x)"],
    "semicolon": ["a;touch x"],
    "formula": ["=1+1"],
    "braces": ["{wildcards.dataset}"],
    "case": ["Anna", "anna"],
    "twice": ["a", "a"],
    "modality": ["p__ct"],
    "modality-twice": ["p", "p__mr"],
}
GOOD = ["good1", "good2"]
FORMS = ("csv", "datalist", "nnunet")
#: What no file can be called, or a folder cannot hold twice.
NOT_AS_FILES = {"markup", "path", "slash", "absolute", "nul", "long", "twice"}


def folder_of(tmp_path, form, ids):
    """Scans of some cases (one image, one label map each), and the options that read them."""
    root = tmp_path / "scans"
    options = {"root": str(root), "spacing_mm": [2, 2, 3], "classes": {"liver": 1}}
    if form == "nnunet":
        for case in ids:
            stored(root / "imagesTr" / f"{case}_0000.nii.gz", nifti())
            stored(root / "labelsTr" / f"{case}.nii.gz", nifti(blocks((1,))))
        description = {"channel_names": {"0": "mr"}, "labels": {"background": 0, "liver": 1}}
        (root / "dataset.json").write_text(json.dumps(description | {"file_ending": ".nii.gz"}))
        return options
    for number in range(len(ids)):
        stored(root / f"{number}.nii.gz", nifti())
        stored(root / f"{number}_l.nii.gz", nifti(blocks((1,))))
    files = [(f"{number}.nii.gz", f"{number}_l.nii.gz") for number in range(len(ids))]
    if form == "csv":
        with (root / "list.csv").open("w", newline="", encoding="utf-8") as stream:
            rows = [(case, *pair) for case, pair in zip(ids, files, strict=True)]
            csv.writer(stream).writerows([("case", "mr", "mr_label"), *rows])
    else:
        items = [{"id": c, "image": i, "label": m} for c, (i, m) in zip(ids, files, strict=True)]
        (root / "list.json").write_text(json.dumps({"training": items}), encoding="utf-8")
    name = "list.csv" if form == "csv" else "list.json"
    return options | {"manifest": name, "modalities": {"mr": {"kind": "mr"}}}


def through(options, out):
    """Index, split and prepare, each as the workflow calls it."""
    given = {"dataset": "folder", "options": json.dumps(options)}
    run("index", **given, out=out / "cases.json")
    split = json.dumps({"seed": 0, "test": 1})
    where = {"out_dir": out / "splits", "out": out / "split.json"}
    run("split", cases=out / "cases.json", split=split, fractions="1.0", draws=1, **where)
    for part in ("train", "test"):
        places = {"split": out / "split.json", "raw": out / "raw", "out": out / "prepared" / part}
        run("prepare", **given, part=part, **places)


def below(folder):
    return sorted(os.fspath(path) for path in folder.rglob("*"))


@pytest.fixture
def work(tmp_path, monkeypatch):
    (tmp_path / "work" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "deep")
    return tmp_path / "work" / "deep"


REFUSED = [(form, name) for name in HOSTILE for form in FORMS if form != "nnunet" or name not in NOT_AS_FILES]


@pytest.mark.parametrize(("form", "name"), REFUSED)
def test_an_id_that_means_something_elsewhere_is_refused_and_leaves_nothing(
    form, name, tmp_path, work, capsys
):
    options = folder_of(tmp_path, form, [*GOOD, *HOSTILE[name]])
    before = below(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run_script(lambda: through(options, work / "run"))
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert told.count("\n") == 1
    assert told[:-1].isprintable()
    assert "Where: " in told
    assert str(tmp_path / "scans") in told
    assert "Remedy: " in told
    assert below(tmp_path) == before


ACCEPTED = ["x" * 100, "p_", "p", "a.image", "a.label", "a", "0", "rf-", "con1", "mr", "0000"]


@pytest.mark.parametrize("form", FORMS)
def test_ids_that_are_plain_names_keep_their_own_scans(form, tmp_path, work):
    through(folder_of(tmp_path, form, ACCEPTED), work)
    held = [read_part(work / "prepared" / part) for part in ("train", "test")]
    assert sorted(case for part in held for case in part.cases) == sorted(ACCEPTED)
    for part in held:
        assert all(read_case(part, case).images.keys() == {"mr"} for case in part.cases)
        assert len(list((part.folder / "images").iterdir())) == len(part.cases)


@dataclass
class Plugin:
    """A dataset that somebody else wrote, whose ids come from nowhere in particular."""

    ids: list[str]
    name: str = "theirs"

    def case_ids(self):
        return self.ids


@pytest.mark.parametrize("name", HOSTILE)
def test_ids_of_any_plug_in_are_held_to_the_same(name):
    with pytest.raises(DataError, match=r"dataset theirs.*Remedy"):
        case_index(Plugin(HOSTILE[name]))


def test_modalities_whose_files_would_be_each_others_are_refused(tmp_path, work):
    for names in (["CT", "ct"], ["x" * 41], ["C__T"], ["../CT"]):
        options = folder_of(tmp_path, "csv", GOOD) | {"modalities": {n: {"kind": "ct"} for n in names}}
        with pytest.raises(SystemExit) as ended:
            run_script(lambda given=options: through(given, work / "run"))
        assert ended.value.code == 2
    assert not (work / "run").exists()


def test_the_split_of_a_run_holds_every_case_once(tmp_path, work):
    through(folder_of(tmp_path, "csv", ACCEPTED), work)
    split = read_json(work / "split.json")
    assert sorted(split["train"] + split["test"]) == sorted(ACCEPTED)

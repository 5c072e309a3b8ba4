"""The experiments of the paper: each plans on a tree in the layout of its data, and binds to what it may."""

import re

import pytest
import yaml
from scan_trees import blocks, ramp, write
from typer.testing import CliRunner

from parallax.cli import app
from parallax.data.splits import case_index
from parallax.errors import ConfigError
from parallax.perturb.labels import label_subsets
from parallax.plugin import method_cards, plugin_root
from parallax.run.plan import expand_methods
from parallax.run.resolve import resolve
from parallax.run.setup import read_setup

FOLDER = plugin_root() / "config" / "paper"
REAL = ("amos", "mscmrseg", "orbit")
KEY = "cmc_readme_head_amos4"


def _amos(root):
    for part, numbers in (("train", range(40)), ("val", range(40, 50)), ("test", range(50, 60))):
        for number in numbers:
            for kind in ("CT", "MRI"):
                folder = root / "mm_amos" / f"{part}_data"
                write(folder / "images" / f"amos_{number:04d}_{kind}.nii.gz", ramp())
                write(folder / "masks" / f"amos_{number:04d}_{kind}_gt.nii.gz", blocks(range(1, 14)))


def _mscmrseg(root):
    for number in range(1, 36):
        for part in ("C0", "T2", "LGE"):
            write(root / "MS-CMRSeg" / f"patient{number}_{part}.nii.gz", ramp())
            if part != "LGE" or number < 6:
                write(root / "MS-CMRSeg" / f"patient{number}_{part}_manual.nii.gz", blocks((200, 500, 600)))


def _orbit(root):
    for number in range(35):
        for suffix in ("T1w", "ce-gd_T1w", "T2w"):
            anat, name = f"sub-{number:03d}/anat", f"sub-{number:03d}_{suffix}"
            write(root / "orbit" / anat / f"{name}.nii.gz", ramp())
            label = root / "orbit" / "derivatives" / "labels" / anat / f"{name}_dseg.nii.gz"
            write(label, blocks(range(1, 8)))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("scans")
    for make in (_amos, _mscmrseg, _orbit):
        make(root)
    return root


@pytest.mark.parametrize("name", REAL)
def test_an_experiment_plans_on_its_data(data, name):
    shown = CliRunner().invoke(app, ["plan", str(FOLDER / f"{name}.yaml"), "--config", f"data={data}"])
    assert shown.exit_code == 0, shown.output
    # three seeds, three draws of 10 and 20 % and one of 100 %
    assert re.search(r"cmc:released +│ +21 ", shown.output)


def test_the_abdomen_has_the_published_numbers_of_cases(data):
    setup = read_setup(FOLDER / "amos.yaml", {"data": str(data)})
    index = case_index(setup.datasets["amos"])
    split, subsets = label_subsets(index, setup.split("amos"), setup.config.fractions(), 3)
    for part, count in (("train", 40), ("validation", 10), ("test", 10)):
        assert [sum(case.endswith(kind) for case in split[part]) for kind in ("CT", "MRI")] == [count] * 2
    for fraction, count in ((0.1, 4), (0.2, 8)):
        for draw in range(3):
            labelled = subsets[fraction, draw]["labelled"]
            assert [sum(case.endswith(kind) for case in labelled) for kind in ("CT", "MRI")] == [count] * 2


@pytest.mark.parametrize("name", REAL)
def test_without_data_the_folder_is_named(name):
    with pytest.raises(ConfigError, match=r"root = \{data\}/.*--config data="):
        read_setup(FOLDER / f"{name}.yaml")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_experiment_has_both_presets_and_every_method_with_every_control(path):
    config = resolve(yaml.safe_load(path.read_text()), path)
    assert config.experiment is not None
    cards = method_cards()
    pairs = {(card.name, preset) for card, preset in expand_methods(config.methods, cards)}
    assert {(name, "paper") for name in cards} | {("cmc", "released")} <= pairs
    assert set(config.seeds) == {0, 1, 2}


def _experiment(dataset="amos", plugin="amos", **changes):
    about = {"comparable_to": KEY, "dataset": "amos", "modalities": {"CT": "CT"}, "structures": ["liver"]}
    return {
        "run": "t",
        "datasets": {dataset: {"plugin": plugin, "split": {"test": 1}}},
        "methods": ["cmc"],
        "conditions": [{"labels": [0.1]}],
        "budget": {"steps": 1},
        "experiment": about | changes,
    }


def test_a_known_key_about_the_data_of_the_run_is_taken():
    assert resolve(_experiment()).experiment.comparable_to == KEY
    assert resolve(_experiment(comparable_to="none: a reason")).experiment.comparable_to == "none: a reason"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            _experiment(comparable_to="cmc_readme_head_amos"),
            r"experiment\.comparable_to.*the keys are chaos_challenge, cmc_readme_head_amos4, .*did you mean",
        ),
        (_experiment(comparable_to="none"), r"experiment\.comparable_to.*`none: reason`"),
        (_experiment(plugin="phantom_abdomen"), r"experiment\.dataset.*AMOS 2022.*phantom_abdomen\.py"),
        (_experiment(plugin="folder"), r"reads AMOS 2022.*datasets/folder\.py"),
        (_experiment(dataset="mine"), r"experiment\.dataset.*one of mine\. Found: amos"),
        (_experiment(structures=[]), "dataset, modalities and structures beside it"),
        (_experiment(comparable="x"), r"Unknown key 'comparable'.*did you mean 'comparable_to'"),
        (_experiment(test_cases=0), r"experiment\.test_cases"),
    ],
)
def test_a_binding_that_cannot_be_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        resolve(values)

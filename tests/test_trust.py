"""Nothing that is read is run: no shipped file unpickles or evaluates, and plug-ins run by name only."""

import hashlib
import io
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from trusted import forbidden

from parallax.errors import ConfigError
from parallax.learn.checkpoint import read_checkpoint, write_checkpoint
from parallax.learn.nnunet_driver import TrainedNnunet
from parallax.plugin import dataset_cards, load_dataset, load_method, method_cards, plugin_root
from parallax.run.setup import make_setup, read_setup

ROOT = plugin_root()
SHIPPED = ("parallax", "methods", "baselines", "datasets", "workflow", "benchmarks", "studies")
FILES = sorted(path for folder in SHIPPED for path in (ROOT / folder).rglob("*.py"))
RULES = [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]


@pytest.mark.parametrize("folder", SHIPPED)
def test_no_shipped_file_runs_what_it_reads(folder):
    files = [path for path in FILES if path.is_relative_to(ROOT / folder)]
    assert files
    found = {p.relative_to(ROOT).as_posix(): forbidden(p.read_text(encoding="utf-8")) for p in files}
    assert {name: reasons for name, reasons in found.items() if reasons} == {}


def test_the_rules_of_the_workflow_name_none_of_it_either():
    words = re.compile(
        r"\b(eval|exec|pickle|extractall|unpack_archive|os\.system|curl|wget|weights_only=False)\b"
    )
    assert {path.name: words.findall(path.read_text()) for path in RULES} == {p.name: [] for p in RULES}


#: Who may run a Python file by its path: the loader of named plug-ins, and a look at torch's version.
RUNS_FILES = {"parallax/plugin.py", "parallax/run/devices.py"}


def test_files_are_run_by_path_in_two_places_alone():
    words = re.compile(r"\b(exec_module|load_module|import_module|run_path|run_module|SourceFileLoader)\b")
    engine = [path for path in FILES if not path.is_relative_to(ROOT / "studies")]
    found = {p.relative_to(ROOT).as_posix() for p in engine if words.search(p.read_text(encoding="utf-8"))}
    assert found == RUNS_FILES


def test_no_shipped_file_opens_an_archive():
    imported = re.compile(
        r"^\s*(?:import|from) (tarfile|zipfile|lzma|bz2)\b|\b(\w*unpack_archive)\b", re.MULTILINE
    )
    assert imported.search("    import tarfile")
    assert imported.search("shutil.unpack_archive(path)")
    assert [path.name for path in FILES if imported.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "def f():\n    import dill",
        "import shelve",
        "import urllib.request",
        "from http.client import HTTPConnection",
        "import requests",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "import torch\ntorch.load('x', weights_only=flag)",
        "import torch\ntorch.load('x', weights_only=1)",
        "import torch as t\nt.load('x')",
        "from torch import load\nload('x')",
        "from torch import load as read\nread('x')",
        "import torch\ntorch.hub.load('a', 'b')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x', allow_pickle=flag)",
        "from batchgenerators.utilities.file_and_folder_operations import load_pickle\nload_pickle('x')",
        "import pandas as pd\npd.read_pickle('x')",
        "eval('1')",
        "exec('x = 1')",
        "compile('1', '', 'eval')",
        "__import__('os')",
        "import yaml\nyaml.load('a')",
        "import yaml\nyaml.load('a', Loader=yaml.SafeLoader)",
        "from yaml import unsafe_load\nunsafe_load('a')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "from subprocess import Popen\nPopen('ls', shell=yes)",
        "import os\nos.system('ls')",
        "from os import popen\npopen('ls')",
        "import tempfile\ntempfile.mktemp()",
        "import tarfile\ntarfile.open('x').extractall('y')",
        "import shutil\nshutil.unpack_archive('x', 'y')",
        "from transformers import AutoModel\nAutoModel.from_pretrained('name')",
    ],
)
def test_the_walk_finds_what_is_planted(text):
    assert len(forbidden("x = 1\n" + text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "import torch\ntorch.load('x', map_location='cpu', weights_only=True)",
        "import numpy as np\nnp.load('x', mmap_mode='r')",
        "import yaml\nyaml.safe_load('a')",
        "net.eval()\nre.compile('a')\nframe.eval",
        "import tarfile\ntarfile.open('x').extractall('y', filter='data')",
        "import subprocess\nsubprocess.run(['ls'], check=True)",
    ],
)
def test_the_walk_lets_the_rest_be(text):
    assert forbidden(text) == []


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def poisoned(marker, **values):
    """A file as `torch.save` writes it, with a bomb inside."""
    buffer = io.BytesIO()
    torch.save({**values, "bomb": Bomb(marker)}, buffer)
    return buffer.getvalue()


def test_the_bomb_goes_off_where_pickles_are_trusted(tmp_path):
    torch.load(io.BytesIO(poisoned(tmp_path / "ran")), weights_only=False)
    assert (tmp_path / "ran").exists()


def test_a_checkpoint_that_holds_code_is_refused_and_not_run(tmp_path):
    write_checkpoint(tmp_path, "mine", {"step": 1})
    content = poisoned(tmp_path / "ran", fingerprint="mine", state={})
    (tmp_path / "checkpoint.pt").write_bytes(content + hashlib.sha256(content).digest())
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        read_checkpoint(tmp_path, "mine")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["supervised", "cmc"])
def test_weights_that_hold_code_are_refused_and_not_run(tmp_path, two_modality_task, name):
    from parallax.case import Budget

    (tmp_path / "weights.pt").write_bytes(poisoned(tmp_path / "ran"))
    method = load_method(name)(two_modality_task, Budget(1, widths=(4, 8)), switches={}, seed=0)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        method.load(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_an_nnunet_that_holds_code_is_refused_and_not_run(tmp_path):
    for name in ("plans", "dataset", "channels"):
        (tmp_path / f"{name}.json").write_text("[]", encoding="utf-8")
    (tmp_path / "weights.pt").write_bytes(poisoned(tmp_path / "ran"))
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        TrainedNnunet.load(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def planted(tmp_path):
    """A checkout with one plug-in of each kind that leaves a file behind when it runs, and its marker."""
    marker = tmp_path / "ran"
    text = "from pathlib import Path\nPath({!r}).touch()\n\nclass Planted:\n    name = 'planted'\n"
    text = text.format(str(marker)) + "    title = 'Planted'\n    source = 'nowhere'\n"
    for folder in ("methods", "baselines", "datasets"):
        (tmp_path / folder).mkdir()
    (tmp_path / "baselines" / "planted.py").write_text(text, encoding="utf-8")
    (tmp_path / "datasets" / "planted.py").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_plugin_runs_only_when_it_is_named(planted, monkeypatch, capsys):
    from parallax.cli.methods import list_plugins

    for module in ("parallax.plugin", "parallax.run.setup"):
        monkeypatch.setattr(f"{module}.plugin_root", lambda: planted, raising=False)
    list_plugins()
    assert "planted" in capsys.readouterr().out
    assert set(method_cards()) == set(dataset_cards()) == {"planted"}
    assert not (planted / "ran").exists()
    load_method("planted")
    assert (planted / "ran").exists()


def test_a_run_does_not_run_the_plugins_that_it_does_not_name(planted, monkeypatch):
    for folder in ("methods", "baselines", "datasets"):
        for path in (ROOT / folder).glob("*.py"):
            (planted / folder / path.name).write_bytes(path.read_bytes())
    for folder in ("config", "parallax"):
        (planted / folder).symlink_to(ROOT / folder)
    monkeypatch.setattr("parallax.plugin.plugin_root", lambda: planted)
    assert "planted" in method_cards()
    setup = read_setup(ROOT / "config" / "smoke.yaml")
    assert len(setup.plan.runs) > 20
    assert not (planted / "ran").exists()


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "..", "baselines/cps", "cps.py", "", "os;ls"])
def test_names_of_plugins_are_no_paths(name):
    with pytest.raises(ConfigError, match="There is no method called"):
        load_method(name)
    with pytest.raises(ConfigError, match="There is no dataset called"):
        load_dataset(name, {})


CONFIG = {
    "run": "mine",
    "datasets": {"phantom_heart": {"split": {"train": 2, "test": 1}}},
    "methods": ["oracle"],
    "conditions": [{"labels": [1.0]}],
    "budget": {"steps": 1},
}
NAMED = {
    "run": lambda name: {"run": name},
    "dataset": lambda name: {
        "datasets": {name: {"plugin": "phantom_heart", "split": {"train": 2, "test": 1}}}
    },
    "misalignment": lambda name: {"misalignments": {name: {"severity": 1}}},
    "annotation": lambda name: {"annotations": {name: {"noisy": {"sigma_mm": 1}}}},
    "preset": lambda name: {"presets": {"oracle": {name: {}}}},
}
BAD_NAMES = ("..", ".", "a/b", "../x", "/x", "a b", "a;ls", "$(ls)", "-x", "a\nb", "")


@pytest.mark.parametrize("key", NAMED)
def test_names_that_would_leave_the_folder_of_a_run_or_reach_a_shell_are_refused(key):
    assert make_setup({**CONFIG, **NAMED[key]("plain_1")}, None).plan.runs
    for name in BAD_NAMES:
        with pytest.raises(ConfigError, match="cannot be used"):
            make_setup({**CONFIG, **NAMED[key](name)}, None)


@pytest.mark.parametrize("name", ["../../x", "cps.py", "oracle:../x", "oracle; ls"])
def test_methods_of_a_configuration_are_names(name):
    with pytest.raises(ConfigError, match=r"There is no method|no preset"):
        make_setup({**CONFIG, "methods": [name]}, None)


def test_a_new_baseline_is_written_only_under_a_name(tmp_path):
    command = [sys.executable, "-m", "parallax.cli", "new-baseline", "../x", "--folder", str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.py"))

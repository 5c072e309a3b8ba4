"""The corpus of bad input: a clear error, quickly, in little memory, and nothing left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from corpus import configs
from corpus.index import KEPT, every_case, listed
from corpus.server import LIMIT_MIB, LIMIT_S

from parallax.errors import ConfigError
from parallax.plugin import plugin_root
from parallax.run.config import RunConfig
from parallax.run.resolve import resolve

CASES = every_case()
#: One case in so many of the list runs by default, the others with `-m weekly`.
EVERY = 5
DRAWN = [
    pytest.param(case, id=case.id, marks=() if place % EVERY == 0 else pytest.mark.weekly)
    for place, case in enumerate(CASES)
]
MUTATIONS = [(f"{key}/{name}", key, values) for key, name, values in configs.mutations()]
MOST_CHARACTERS = 8000


@pytest.fixture(scope="session")
def ask():
    """Run a case in a process of its own, under the limits: `ask(case, folder)` is its outcome."""
    tests = Path(__file__).parent
    command = [sys.executable, "-m", "corpus.server"]
    # Arrow's own allocator reserves a whole GiB of addresses at its first use, which is the limit.
    plain = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    with subprocess.Popen(
        command,
        env=plain,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tests,
    ) as server:

        def asked(case, folder):
            server.stdin.write(json.dumps([case.id, str(folder)]) + "\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        yield asked
        server.stdin.close()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of memory are those of POSIX")
@pytest.mark.parametrize("case", DRAWN)
def test_bad_input_gets_a_clear_error_and_leaves_nothing(case, ask, tmp_path):
    outcome = ask(case, tmp_path)
    printed = outcome["printed"]
    assert "Traceback" not in printed, printed
    assert outcome["status"] in ({1, 2} if case.answer == "refused" else {0}), printed
    assert [word for word in case.says if word not in printed] == [], printed
    assert case.answer == "named" or "Remedy: " in printed, printed
    assert len(printed) < MOST_CHARACTERS
    assert outcome["changed"] == []
    assert outcome["taken_s"] < LIMIT_S
    assert outcome["peak_mib"] < LIMIT_MIB


def test_a_key_with_a_value_that_it_cannot_have_is_named():
    assert {name: wrong for name, key, values in MUTATIONS if (wrong := _not_refused(key, values))} == {}


def _not_refused(key, values):
    """What is wrong with the refusal of a configuration; empty where nothing is."""
    try:
        resolve(values)
    except ConfigError as error:
        named = next(part for part in reversed(key.split(".")) if not part.isdigit()) in error.where
        return "" if named and error.remedy else str(error)
    return "accepted"


def test_the_configuration_that_is_mutated_is_good_and_has_every_key():
    resolve(configs.FULL)
    schema = RunConfig.model_json_schema()
    wanted = {key for block in (schema, *schema["$defs"].values()) for key in block["properties"]}
    assert wanted - {str(key) for path in configs.places(configs.FULL) for key in path} == set()


@pytest.mark.parametrize("key", configs.MAY_BE_NULL)
def test_a_block_that_may_be_left_out_may_be_null(key):
    path = tuple(key.split("."))
    assert path in set(configs.places(configs.FULL))
    values = configs.changed(path, None)
    if key.startswith("annotations.") and path[1] in ("rough", "worse", "worst"):
        assert resolve(values).annotations[path[1]].describe() == "nothing left out"
    else:
        resolve(values)


def test_no_case_vanishes():
    assert len(CASES) >= 300
    assert len({case.id for case in CASES}) == len(CASES)
    assert listed() == KEPT.read_text(encoding="utf-8"), "write it anew: python -m corpus.index, in tests/"


@pytest.mark.parametrize("name", ["headers/metres/score.nii", "configs/file/key-twice"])
def test_the_installed_command_says_the_same(name, tmp_path):
    case = next(case for case in CASES if case.id == name)
    command = [sys.executable, "-m", "parallax.cli", *case.build(tmp_path)[1:]]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=plugin_root(), check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert all(word in ended.stderr for word in (*case.says, "Remedy: "))


def test_the_workflow_ends_with_the_same_status(tmp_path):
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        str(plugin_root() / "Snakefile"),
        "-n",
        "--cores",
        "1",
    ]
    ended = subprocess.run(
        [*command, "--config", "metods=cmc"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert ended.returncode == 2
    assert "Remedy: did you mean 'methods'?" in ended.stderr
    assert "Traceback" not in ended.stderr

"""Any values whatever are a configuration, which is read back as it was, or an error that names the key."""

import copy
import datetime
import json
import re

import pytest
import yaml
from corpus import configs
from hypothesis import given
from hypothesis import strategies as st
from properties import answer, clear, examples

from parallax.data.given import given_yaml
from parallax.errors import ConfigError, UserError
from parallax.plugin import load_dataset
from parallax.run.config import RunConfig
from parallax.run.resolve import resolve

SCHEMA = RunConfig.model_json_schema()
KEYS = sorted({key for block in (SCHEMA, *SCHEMA["$defs"].values()) for key in block["properties"]})
#: What YAML makes of a text, and words that mean something somewhere in a configuration.
SCALARS = (
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=6)
    | st.sampled_from([datetime.date(2001, 1, 1), datetime.datetime(2001, 1, 1, 12), b"bytes", {"a", "set"}])
    | st.sampled_from(["phantom_heart", "supervised", "aligned", "full", "all", "1e-3", "CT", *KEYS])
)  # fmt: skip
NAMES = st.sampled_from(KEYS) | st.text(max_size=6) | st.integers() | st.none() | st.booleans()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
PLACES = list(configs.places(configs.FULL))
#: Judged by others than the schema: options of a dataset, switches of a method.
FREE = [("datasets", "phantom_heart", "options", "cases"), ("presets", "cmc", "own", "terms")]


def resolved(values):
    """The configuration, or the error that was given for it; and that either is as it should be."""
    found = answer(resolve, values)
    if isinstance(found, ConfigError):
        assert clear(found)
        return found
    for dumped in (found.model_dump(exclude_none=True), json.loads(found.model_dump_json(exclude_none=True))):
        assert RunConfig.model_validate(dumped) == found
    return found


@examples(200)
@given(st.sampled_from(PLACES) | st.sampled_from(FREE), VALUES)
def test_any_value_under_any_key_is_taken_or_named(path, value):
    values = configs.changed(path, value)
    found = resolved(values)
    if isinstance(found, ConfigError):
        first = re.split(r"[.,: ]", found.where.removeprefix("--config "))[0]
        assert first.removesuffix("=") in RunConfig.model_fields, found


@examples(80)
@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_any_mapping_is_a_configuration_or_an_error(values):
    resolved({"run": "any"} | values)


@examples(15)
@given(data=st.data())
def test_a_configuration_that_is_good_comes_back_from_its_file(tmp_path, data):
    values = copy.deepcopy(configs.FULL)
    values["seeds"] = data.draw(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3, unique=True))
    values["title"] = data.draw(st.text(st.characters(codec="utf-8"), max_size=20))
    values["budget"]["learning_rate"] = data.draw(st.floats(0, 100, exclude_min=True))
    values["budget"]["patch"] = [4 * data.draw(st.integers(2, 256)) for _ in range(3)]
    values["conditions"][0]["labels"] = data.draw(
        st.lists(st.floats(0, 1, exclude_min=True), min_size=1, max_size=3)
    )
    values["limits"]["train_s"] = data.draw(st.integers(1, 10**9) | st.floats(0.1, 1e9))
    del values["datasets"]["phantom_heart"]["budget"]
    (tmp_path / "run.yaml").write_text(
        yaml.safe_dump(values, allow_unicode=data.draw(st.booleans())), encoding="utf-8"
    )
    found = resolved(values)
    assert isinstance(found, RunConfig), found
    assert resolve(given_yaml(tmp_path / "run.yaml")) == found
    (tmp_path / "dumped.yaml").write_text(
        yaml.safe_dump(found.model_dump(mode="json", exclude_none=True)), encoding="utf-8"
    )
    assert resolve(given_yaml(tmp_path / "dumped.yaml")) == found


@pytest.mark.parametrize("plugin", ["phantom_heart", "folder", "amos"])
def test_any_options_make_a_dataset_or_an_error(plugin, tmp_path):
    names = st.sampled_from(
        [
            "cases",
            "seed",
            "size",
            "root",
            "manifest",
            "modalities",
            "classes",
            "spacing_mm",
            "pairing",
            "crop",
            "nan",
        ]
    )

    @examples(25)
    @given(st.dictionaries(names, VALUES, max_size=4))
    def tried(options):
        found = answer(load_dataset, plugin, {"root": str(tmp_path)} | options)
        assert clear(found) if isinstance(found, UserError) else found.task.classes

    tried()

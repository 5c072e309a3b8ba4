"""The configuration is checked before anything starts; each mistake names its key and a remedy."""

import json

import pytest
import yaml

from parallax.errors import ConfigError
from parallax.plugin import plugin_root
from parallax.run.config import RunConfig
from parallax.run.resolve import resolve

CONFIGS = sorted((plugin_root() / "config").glob("**/*.yaml"))


def _quick(**changes):
    return yaml.safe_load((plugin_root() / "config" / "quick.yaml").read_text()) | changes


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_shipped_configuration_is_valid(path):
    config = resolve(yaml.safe_load(path.read_text()))
    assert config.run == path.stem


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_shipped_configuration_is_read_back_as_jobs_are_given_it(path):
    config = resolve(yaml.safe_load(path.read_text()))
    assert RunConfig.model_validate(json.loads(config.model_dump_json(exclude_none=True))) == config


def test_without_a_configfile_the_default_run_is_narrowed():
    config = resolve({"methods": "cmc, supervised", "datasets": "phantom_heart"})
    assert (config.run, config.methods, list(config.datasets)) == (
        "quick",
        ["cmc", "supervised"],
        ["phantom_heart"],
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metods": ["cmc"]}, r"Unknown key 'metods'.*did you mean 'methods'"),
        ({"budget": {"step": 3}}, r"Unknown key 'step'.*budget\.step.*did you mean 'steps'"),
        ({"budget": {"steps": 0}}, r"budget\.steps"),
        ({"conditions": [{"labels": [0.0]}]}, r"conditions\.0\.labels"),
        (
            {"conditions": [{"labels": [0.5], "label_draws": 3}], "label_draws": 2},
            r"conditions\.0\.label_draws.*at most label_draws of the run, which is 2.*Found: 3",
        ),
        (
            {"conditions": [{"labels": [1.0], "misalignment": ["shfited"]}]},
            "no misalignment called 'shfited'",
        ),
        (
            {"conditions": [{"labels": [1.0], "annotation": ["nosy"]}], "annotations": {"noisy": {}}},
            r"no annotation called 'nosy'.*conditions\.0\.annotation.*one of full, noisy",
        ),
        ({"annotations": {"full": {}}}, "'full' cannot be defined"),
        ({"annotations": {"a": {"noisy": {"sigma": 1}}}}, r"Unknown key 'sigma'.*did you mean 'sigma_mm'"),
        (
            {"annotations": {"a": {"drop": {"structures": 1, "left": "x"}}}},
            r"one of as, of_cases, structures",
        ),
        ({"annotations": {"a": {"coarse": {"as": "slices"}}}}, "either every or dice"),
        ({"test_modalities": "all"}, "test_modalities.*'given' or 'every'"),
        ({"datasets": {"a": {"split": {"list": "x.csv", "train": 3}}}}, "not list with train"),
        ({"datasets": {"a": {"split": {"train": 3}}}}, "test: a count"),
        ({"run": "a/b"}, "Where: run"),
        ({"budget": {"batch": 1}}, "lacks the key 'steps'"),
        ({"budget": {"steps": 9, "patch": [50, 50, 30]}}, r"phantom_heart.*multiples of 16.*50 x 50 x 30"),
        ({"datasets": "phantom_hart"}, "did you mean 'phantom_heart'"),
    ],
)
def test_mistakes_name_their_key(changes, message):
    with pytest.raises(ConfigError, match=message):
        resolve(_quick(**changes))


def test_datasets_are_looked_up_in_the_file_that_was_given(tmp_path):
    path = tmp_path / "any-name.yaml"
    path.write_text(yaml.safe_dump(_quick(run="other")))
    given = _quick(run="other", datasets="phantom_orbit")
    assert list(resolve(given, path).datasets) == ["phantom_orbit"]


def test_a_missing_key_is_named_with_what_is_there():
    values = _quick()
    del values["budget"]
    with pytest.raises(
        ConfigError, match=r"lacks the key 'budget'.*Found: only run, title, .*Remedy: add it"
    ):
        resolve(values)


def test_dataset_budget_overrides_the_runs():
    values = _quick()
    values["datasets"]["phantom_orbit"] = values["datasets"]["phantom_orbit"] | {"budget": {"steps": 7}}
    config = resolve(values)
    assert config.budget_of("phantom_orbit").steps == 7
    assert config.budget_of("phantom_orbit").batch == config.budget_of("phantom_heart").batch


def test_the_schema_for_editors_is_the_one_that_is_checked():
    written = json.loads((plugin_root() / "workflow" / "schemas" / "config.schema.json").read_text())
    assert written == RunConfig.model_json_schema()

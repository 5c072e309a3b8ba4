"""Plug-ins are found by file and read without being run."""

from dataclasses import fields

import pytest

from parallax.errors import ConfigError, PluginError
from parallax.plugin import dataset_cards, load_method, method_card, method_cards, preset_switches

GOOD = """
raise_if_run = 1 / 0

class Mine:
    name = "mine"
    title = "Mine"
    source = "nowhere"
    adapter = "heads"
    presets = {"paper": {"weight": 0.5}}
    other = open
"""


@pytest.fixture
def root(tmp_path):
    for folder in ("methods", "baselines", "datasets"):
        (tmp_path / folder).mkdir()
    return tmp_path


def test_card_is_read_without_running_the_file(root):
    (root / "baselines" / "mine.py").write_text(GOOD)
    card = method_cards(root)["mine"]
    assert (card.title, card.adapter, card.presets) == ("Mine", "heads", {"paper": {"weight": 0.5}})
    with pytest.raises(ZeroDivisionError):
        load_method("mine", root)


def test_base_classes_of_the_engine_speak_too_and_are_not_run_either(root):
    text = "from parallax.learn.teacher import TeacherStudent\n" + GOOD.replace(
        "Mine:", "Mine(TeacherStudent):"
    )
    (root / "baselines" / "mine.py").write_text(text)
    card = method_cards(root)["mine"]
    assert card.needs_pairs
    assert card.without_pairs == ("per_modality",)
    assert card.adapter == "heads"
    (root / "baselines" / "mine.py").write_text(text.replace('adapter = "heads"', 'adapter = "native"'))
    assert method_cards(root)["mine"].adapter == "native", "what the file says comes first"


@pytest.mark.parametrize("card", method_cards().values(), ids=lambda card: card.name)
def test_a_card_says_what_the_class_says(card):
    kind = load_method(card.name)
    declared = [f.name for f in fields(card) if f.name not in ("path", "class_name", "presets")]
    assert {name: getattr(card, name) for name in declared if hasattr(kind, name)} == {
        name: getattr(kind, name) for name in declared if hasattr(kind, name)
    }


def test_misspelt_name_gets_the_nearest_one(root):
    (root / "baselines" / "mine.py").write_text(GOOD)
    with pytest.raises(ConfigError, match="did you mean 'mine'"):
        method_card("mime", root)


def test_unknown_preset_is_refused(root):
    (root / "baselines" / "mine.py").write_text(GOOD)
    with pytest.raises(ConfigError, match="no preset 'released'"):
        preset_switches(method_card("mine", root), "released")


@pytest.mark.parametrize(
    "text", ["def f(:", "class Other:\n    name = 'other'\n", "class Mine:\n    name = 'mine'\n"]
)
def test_broken_file_is_named(root, text):
    (root / "methods" / "mine.py").write_text(text)
    with pytest.raises(PluginError, match=r"methods/mine\.py"):
        method_cards(root)


def test_every_shipped_plugin_has_a_card():
    assert {"cmc", "mkd", "nnunet", "supervised", "oracle", "empty", "mean_shape"} <= set(method_cards())
    assert {"phantom_heart", "phantom_abdomen", "phantom_orbit", "folder"} <= set(dataset_cards())
    for card in method_cards().values():
        assert next(iter(card.presets)) == "paper"
        assert card.adapter in {"native", "heads", "broadcast"}


def test_a_later_preset_says_only_what_differs_from_the_first(root):
    path = root / "baselines" / "mine.py"
    text = GOOD.replace('{"paper": {"weight": 0.5}}', '{"paper": {"a": 1, "b": 2}, "off": {"b": 0}}')
    path.write_text(text)
    assert method_card("mine", root).presets == {"paper": {"a": 1, "b": 2}, "off": {"a": 1, "b": 0}}


def test_presets_that_differ_in_prediction_alone_are_trained_once(root):
    presets = '{"paper": {"a": 1, "out": "x"}, "y": {"out": "y"}, "b": {"a": 2}, "by": {"a": 2, "out": "y"}}'
    text = GOOD.replace('{"paper": {"weight": 0.5}}', f'{presets}\n    at_prediction = ("out",)')
    (root / "baselines" / "mine.py").write_text(text)
    card = method_card("mine", root)
    assert [card.trained_as(name) for name in card.presets] == ["paper", "paper", "b", "b"]


def test_presets_of_a_configuration_are_checked(root):
    text = GOOD.replace("other = open", 'choices = {"weight": (0.5, 1.0)}')
    (root / "baselines" / "mine.py").write_text(text)
    card = method_card("mine", root)
    assert card.with_presets({"heavy": {"weight": 1.0}}).presets["heavy"] == {"weight": 1.0}
    made = card.with_presets({"heavy": {"weight": 1.0}, "same": {"based_on": "heavy"}})
    assert made.presets["same"] == {"weight": 1.0}
    for presets, message in (
        ({"paper": {}}, "preset 'paper' of its own"),
        ({"x": {"wait": 1}}, "did you mean 'weight'"),
        ({"x": {"weight": 2}}, "weight = 2"),
        ({"x": {"based_on": "y"}}, "based on 'y'"),
    ):
        with pytest.raises(ConfigError, match=message):
            card.with_presets(presets)

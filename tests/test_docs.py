"""The example of docs/add-a-baseline.md works as it stands."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from toy import toy_task, toy_test_view, toy_view

from parallax.case import Budget
from parallax.plugin import dataset_cards, load_dataset, load_method, method_cards
from parallax.run.config import DatasetConfig

DOCS = Path(__file__).parent.parent / "docs"


def test_the_baseline_of_the_docs_is_found_and_learns(tmp_path):
    code = re.search(r"```python\n(.*?)```", (DOCS / "add-a-baseline.md").read_text(), re.DOTALL).group(1)
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "my_baseline.py").write_text(code)
    card = method_cards(tmp_path)["my_baseline"]
    task = toy_task(2, 3)
    budget = replace(Budget(steps=2), patch=(16, 16, 16), widths=(4, 8))
    method = load_method("my_baseline", tmp_path)(task, budget, switches=card.presets["paper"], seed=0)
    cost = method.fit(toy_view(task, 2, 0), tmp_path / "scratch")
    view = toy_test_view(task)
    maps = method.predict(view).label_maps
    assert cost.steps == 2
    assert {name: m.shape for name, m in maps.items()} == {n: g.shape for n, g in view.native.items()}
    assert all(m.dtype == np.uint8 for m in maps.values())


def test_every_method_has_a_card():
    written = {path.stem for path in (DOCS / "methods").glob("*.md")} - {"README"}
    assert set(method_cards()) == written


def test_the_index_says_of_every_method_what_it_declares():
    index = (DOCS / "methods" / "README.md").read_text()
    rows = dict(re.findall(r"^\| \[`(\w+)`\]\(\1\.md\) \|(.*)\|$", index, re.MULTILINE))
    cards = {name: card for name, card in method_cards().items() if not card.control}
    assert rows.keys() == cards.keys()
    for name, card in cards.items():
        _, _, answers, pairs, unlabelled = (cell.strip() for cell in rows[name].split("|")[:5])
        assert answers.split(",")[0] == card.adapter, name
        assert (pairs == "yes") == card.needs_pairs, name
        some = "with_unlabelled" in card.presets
        assert unlabelled == ("yes" if card.uses_unlabelled else "`with_unlabelled`" if some else "no"), name


def test_every_download_has_a_section_with_a_configuration_that_its_adapter_takes(tmp_path):
    text = (DOCS / "datasets.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE))
    downloads = {name for name, card in dataset_cards().items() if "(ScanDataset)" in card.path.read_text()}
    assert set(sections) == downloads
    for name, section in sections.items():
        example = yaml.safe_load(re.search(r"```yaml\n(.*?)```", section, re.DOTALL).group(1))
        entry = DatasetConfig.model_validate(example["datasets"][name])
        dataset = load_dataset(name, entry.options | {"root": tmp_path})
        assert dataset.task.name == name
        literals = (dataset.licence, dataset.download, dataset.source, *dataset.traps)
        assert all(isinstance(text, str) and text for text in literals)
        for protocol in dataset.protocols:
            assert f"`{protocol}`" in text
            load_dataset(name, {"root": tmp_path, "protocol": protocol}).task  # noqa: B018  (it must not raise)

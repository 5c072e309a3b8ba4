"""The example of docs/add-a-baseline.md works as it stands."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from toy import toy_task, toy_test_view, toy_view

from parallax.case import Budget
from parallax.plugin import load_method, method_cards

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
    written = {path.stem for path in (DOCS / "methods").glob("*.md")}
    assert set(method_cards()) == written

"""What the docs show works as it stands."""

import ast
import re
from pathlib import Path

import numpy as np
import typer
import yaml
from doc_commands import ROOT, pages
from doc_commands import blocks as fenced
from typer.testing import CliRunner

from parallax.cli import app
from parallax.plugin import dataset_cards, load_dataset, method_cards
from parallax.run.config import DatasetConfig
from parallax.trial.suite import Wanted, find_card, try_method

DOCS = Path(__file__).parent.parent / "docs"


def blocks(kind):
    """Fenced blocks of docs/add-a-baseline.md: of a language, or (empty) what is printed."""
    return [text for language, text in fenced(DOCS / "add-a-baseline.md") if language == kind]


def changed_as_the_docs_say(text):
    """The starting file with the three pieces of the tutorial in their places."""
    imports, presets, term = blocks("python")
    text = text.replace("from parallax.learn.losses import dice_ce\n", imports)
    text = re.sub(r"    presets = .*\n", lambda _: presets, text)
    return re.sub(r" +terms\[modality\] = .*\n", lambda _: term, text)


def rows_of(table):
    """Check to status in a printed table."""
    cells = [line.split("│")[1:3] for line in table.splitlines() if line.startswith("│")]
    return {check.strip(): status.strip() for check, status in cells if status.strip()}


def tried(path, folder):
    return {o.check: str(o.status) for o in try_method(find_card(str(path)), Wanted(quick=True), folder)}


def test_the_tutorial_prints_what_its_commands_print(tmp_path, monkeypatch):
    typed, printed = blocks("bash"), blocks("")
    (tmp_path / "baselines").mkdir()
    monkeypatch.chdir(tmp_path)
    command, *arguments = typed[0].split()
    result = CliRunner().invoke(app, arguments)
    assert command == "parallax"
    assert result.stdout == printed[0]
    path = tmp_path / "baselines" / "my_baseline.py"
    text = changed_as_the_docs_say(path.read_text())
    path.write_text(text)
    slip, own = (rows_of(block) for block in printed if "what was found" in block)
    assert tried(path, tmp_path / "own") == {key: value for key, value in own.items() if key != "phantom run"}
    rows = "            rows = known[:, k].nonzero()[:, 0]\n"
    assert rows in text
    path.write_text(text.replace(rows, "            rows = torch.arange(len(known))\n"))
    found = tried(path, tmp_path / "slip")
    assert {check: status for check, status in found.items() if status == "failed"} == slip
    assert len(found) == 23


def test_commands_of_the_tutorial_exist():
    text = (DOCS / "add-a-baseline.md").read_text(encoding="utf-8")
    group = typer.main.get_command(app)
    used = set(re.findall(r"parallax ([a-z-]+)", text)) - {"try FILE"}
    assert {"new-baseline", "try"} <= used <= set(group.commands)
    known = {option for name in used for p in group.commands[name].params for option in p.opts}
    assert set(re.findall(r"`(--[a-z-]+)", text)) <= known


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


def messages():
    """Texts that the product can say, with … for what is filled in."""
    root = DOCS.parent
    files = [path for name in ("parallax", "datasets", "workflow") for path in (root / name).rglob("*.py")]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values]
                yield re.sub("…+", "…", "".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
    for said in re.findall(r'echo "([^"]*)"', (root / "Makefile").read_text(encoding="utf-8")):
        yield re.sub(r"\$\$\(.*?\)\.?.*", "…", said)


def test_every_message_of_the_troubleshooting_page_is_said_by_the_product():
    text = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert len(quoted) > 30
    assert len(set(quoted)) == len(quoted)
    said = set(messages())
    assert [line for line in quoted if line.strip("`") not in said] == []


def test_the_dataset_of_the_how_to_can_be_read(tmp_path):
    page = fenced(DOCS / "add-a-dataset.md")
    (tmp_path / "datasets").mkdir()
    source = next(text for language, text in page if language == "python")
    (tmp_path / "datasets" / "boxes.py").write_text(source)
    config = yaml.safe_load(next(text for language, text in page if language == "yaml"))
    dataset = load_dataset("boxes", config["datasets"]["boxes"]["options"], root=tmp_path)
    dataset.check()
    split = config["datasets"]["boxes"]["split"]
    assert len(dataset.case_ids()) == split["train"] + split["test"]
    case = dataset.read(dataset.case_ids()[-1], tmp_path)
    assert set(case.images) == set(case.labels) == set(dataset.task.modality_names)
    assert all(np.unique(label.array).tolist() == [0, 1] for label in case.labels.values())


def test_links_between_pages_lead_to_files():
    for page in pages():
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        links = re.findall(r"\]\(([^)\s#]+)[^)\s]*\)", text)
        gone = [link for link in links if ":" not in link and not (page.parent / link).exists()]
        assert gone == [], page.relative_to(ROOT)

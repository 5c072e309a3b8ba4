"""Every LaTeX table of a run compiles in a minimal document."""

import shutil
import subprocess

import pytest
from tidy import method_rows, toy_rows

from parallax.plugin import plugin_root
from parallax.report.write import TableInputs, build, write_all
from parallax.score.table import write_rows

pytestmark = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="TeX is not installed: apt-get install texlive-latex-recommended"
)
DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{array,booktabs,graphicx,longtable,pdflscape}
\begin{document}
\input{TABLE}
\end{document}
"""


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latex")
    rows = [
        *toy_rows(6),
        *method_rows("cmc", 0.75, cases=6),
        *method_rows("cmc", 0.7, cases=6, preset="released"),
    ]
    rows += method_rows(r"a_b%&#$~^{}\x<y>|z±×·–−≥", 0.5, cases=6)
    write_rows(rows, folder / "scores.csv")
    root = plugin_root()
    inputs = TableInputs(
        folder / "scores.csv", published=root / "results" / "published.csv", claims=root / "claims.yaml"
    )
    write_all(build(inputs), folder / "tables")
    return folder / "tables"


def compile_table(path, folder):
    (folder / "paper.tex").write_text(DOCUMENT.replace("TABLE", path.as_posix()), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)


@pytest.mark.parametrize(
    "name",
    [
        "standing",
        "overview",
        "main",
        "full",
        "statistics",
        "presets",
        "claims",
        "audit",
        "excluded",
        "published",
    ],
)
def test_a_table_compiles(tables, tmp_path, name):
    done = compile_table(tables / f"{name}.tex", tmp_path)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 0


def test_a_broken_table_does_not(tmp_path):
    (tmp_path / "broken.tex").write_text(r"\begin{tabular}{l} a & b \\ \end{tabular}", encoding="utf-8")
    assert compile_table(tmp_path / "broken.tex", tmp_path).returncode != 0

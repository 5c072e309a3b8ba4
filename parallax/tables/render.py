"""Tables as Markdown, LaTeX (booktabs) and terminal text. Cells are escaped here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from parallax.errors import printable
from parallax.tables.layout import Table, common_notes
from parallax.tables.summary import Line

if TYPE_CHECKING:
    import pandas as pd

_MARKDOWN = re.compile(r"([\\`*_|<>\[\]#])")
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "±": r"$\pm$", "×": r"$\times$", "·": r"\textperiodcentered{}", "–": "--", "−": "$-$", "≥": r"$\geq$",
}  # fmt: skip
#: Sizes of type by the most columns of prose that they fit into a line.
_SIZES = ((5, r"\small"), (99, r"\scriptsize"))
_MOST_UPRIGHT = 8  # columns of prose; more of them take a page on its side
_WIDEST = 40  # characters; a column of longer cells takes more lines instead


def to_markdown(tables: Iterable[Table], title: str) -> str:
    """All tables as one Markdown page."""
    return f"# {escape_markdown(title)}\n\n" + "\n".join(_markdown(table) for table in tables)


def to_latex(tables: Iterable[Table]) -> str:
    """All tables as LaTeX: floats, and tables over pages where cells are sentences."""
    return "% needs \\usepackage{array,booktabs,graphicx,longtable,pdflscape}\n\n" + "\n".join(
        _latex(table) for table in tables
    )


def escape_markdown(text: str) -> str:
    """The text with everything escaped that Markdown or HTML would take for markup."""
    return _MARKDOWN.sub(r"\\\1", text.replace("&", "&amp;")).replace("\n", " ")


def escape_latex(text: str) -> str:
    """The text with everything escaped that LaTeX would take for markup."""
    return "".join(_LATEX.get(character, character) for character in text).replace("\n", " ")


def to_frame(lines: Sequence[Line]) -> pd.DataFrame:
    """The numbers behind a table, unrounded, for CSV."""
    import pandas as pd

    return pd.DataFrame([asdict(line) for line in lines], columns=list(Line.__dataclass_fields__))


def print_tables(tables: Sequence[Table], width: int | None = None) -> None:
    """Print tables to the terminal, at its width, or at 100 columns where there is no terminal."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(highlight=False)
    console = console if console.is_terminal and not width else Console(width=width or 100, highlight=False)
    shared, own = common_notes(tables)
    for table in own:
        grid = RichTable(title=Text(table.title, style="bold"), title_justify="left", header_style="bold")
        for index, name in enumerate(table.header):
            heading = Text(name.replace(", ", "\n", 1))
            grid.add_column(heading, justify="right" if index else "left", overflow="fold")
        for index, row in enumerate(table.rows):
            if index in table.rules:
                grid.add_section()
            grid.add_row(*(Text(printable(cell)) for cell in row))
        console.print(grid)
        for note in table.notes:
            console.print(Padding(Text(printable(note), style="dim"), (0, 0, 0, 2)))
        console.print()
    for note in shared:
        console.print(Text(printable(note), style="dim"))


def _markdown(table: Table) -> str:
    lines = [f"## {escape_markdown(table.title)}", ""]
    if not table.rows:
        return "\n".join([*lines, "None.", ""])
    align = ["---", *["---" if table.text else "---:"] * (len(table.header) - 1)]
    lines += [_pipe(map(escape_markdown, table.header)), _pipe(align)]
    lines += [_pipe(map(escape_markdown, row)) for row in table.rows]
    lines += ["", *(f"- {escape_markdown(note)}" for note in table.notes), ""]
    return "\n".join(lines)


def _pipe(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _latex(table: Table) -> str:
    body = []
    for index, row in enumerate(table.rows):
        body += [r"\midrule"] * (index in table.rules)
        body.append(" & ".join(map(escape_latex, row)) + r" \\")
    header = [r"\toprule", " & ".join(map(escape_latex, table.header)) + r" \\", r"\midrule"]
    title = rf"\caption{{{escape_latex(table.title)}}}"
    label = rf"\label{{tab:{re.sub(r'[^A-Za-z0-9]+', '-', table.name)}}}"
    notes = r"\par\smallskip\footnotesize\raggedright " + r" \\ ".join(map(escape_latex, table.notes))
    lines = (
        _long(table, header, body, title + label) if table.text else _float(table, header, body, title, label)
    )
    end = [r"\end{table}"] if not table.text else [r"\par}"]
    end += [r"\end{landscape}"] if _is_wide(table) else []
    return "\n".join([*lines, notes, *end, ""])


def _is_wide(table: Table) -> bool:
    """Whether it takes a page on its side."""
    return table.text and len(table.header) > _MOST_UPRIGHT


def _float(table: Table, header: Sequence[str], body: Sequence[str], title: str, label: str) -> list[str]:
    return [
        r"\begin{table}",
        r"\centering\small",
        title,
        label,
        # Shrinks a table that is too wide for the page and leaves any other as it is.
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
        *header,
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
    ]


def _long(table: Table, header: Sequence[str], body: Sequence[str], caption: str) -> list[str]:
    """Sentences take pages: a table that breaks between them, with its header on each."""
    columns = "".join(
        rf">{{\raggedright\arraybackslash}}p{{{share:.3f}\linewidth}}" for share in _shares(table)
    )
    size = next(size for most, size in _SIZES if len(table.header) <= most)
    turn = [r"\begin{landscape}"] if _is_wide(table) else []
    return [
        *turn,
        rf"{{{size}\setlength{{\tabcolsep}}{{0.008\linewidth}}",
        rf"\begin{{longtable}}{{{columns}}}",
        rf"{caption}\\",
        *header,
        r"\endhead",
        *body,
        r"\bottomrule",
        r"\end{longtable}",
    ]


def _shares(table: Table) -> list[float]:
    """What each column takes of the line: its longest word at least, more where it says more."""
    weights = []
    for cells in zip(table.header, *table.rows, strict=True):
        longest = max(len(word) for cell in cells for word in cell.split() or [""])
        weights.append(max(longest, min(sum(map(len, cells)) / len(cells), _WIDEST)))
    return [0.86 * weight / sum(weights) for weight in weights]

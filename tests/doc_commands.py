"""The commands that the documentation shows, and whether each of them is well formed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import typer
import yaml

from parallax.cli import app
from parallax.plugin import dataset_cards, method_cards
from parallax.run.config import RunConfig

ROOT = Path(__file__).parent.parent
SHELLS = ("bash", "sh", "shell", "console")
PROGRAMS = (
    "parallax|snakemake|make|python3?|pytest|pip|git|docker|apptainer|flock|apt-get|kubectl"
    "|sbatch|squeue|scancel|scontrol|source|uv|conda|sudo|cd"
)
_STARTS = re.compile(rf"(?:[A-Z_]+=\S* )*(?:\.venv/bin/)?(?:{PROGRAMS})(?= \S)")
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)

#: How a command begins that no test can run, and why.
NOT_HERE = {
    "git clone": "needs the address of the repository",
    "cd parallax": "goes into the clone",
    "source .venv/bin/activate": "changes the shell of the reader",
    "pip install": "fetches packages",
    "python -m pip install": "fetches packages",
    "python -m pip_audit": "asks a database over the network",
    "apt-get install": "needs root",
    "docker": "needs Docker",
    "apptainer": "needs Apptainer",
    "kubectl": "needs a cluster",
    "sbatch": "needs Slurm",
    "squeue": "needs Slurm",
    "scancel": "needs Slurm",
    "scontrol": "needs Slurm",
    "grep Preempt": "reads what scontrol prints",
}
#: Names that a page tells its reader to make.
MADE_BY_READER = {"my_baseline", "mine", "boxes"}


@dataclass(frozen=True)
class Command:
    """One command line; `shown` in a block to be copied, or else mentioned in a sentence."""

    page: str
    text: str
    shown: bool

    @property
    def words(self) -> list[str]:
        """Without variables in front, redirections and comments; of `a|b` the first."""
        words = shlex.split(self.text, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            words = words[1:]
        words = words[: words.index(">")] if ">" in words else words
        return [words[0].removeprefix(".venv/bin/"), *(re.sub(r"\|.*", "", word) for word in words[1:])]

    @property
    def pattern(self) -> bool:
        """Whether a word in capitals, or dots, stands for something."""
        return any(re.fullmatch(r"(?:\w+=)?[A-Z][A-Z_]+|\.\.\.", word) for word in self.words)


def pages() -> list[Path]:
    """README, configuration and documentation."""
    own = [ROOT / name for name in ("README.md", "config/README.md", "config/splits/README.md")]
    return [*own, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(path: Path) -> list[tuple[str, str]]:
    """Language and text of the fenced blocks of a page."""
    return _FENCE.findall(path.read_text(encoding="utf-8"))


def commands(text: str, page: str) -> Iterator[Command]:
    """Lines of shell blocks, and commands in the sentences between them."""
    for language, block in _FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines() if language in SHELLS else ():
            for part in re.split(r" && | \| ", line.removeprefix("$ ").partition(" # ")[0].strip()):
                if part:
                    yield Command(page, part, True)
    for span in re.findall(r"`([^`]+)`", _FENCE.sub("", text)):
        line = " ".join(span.split())
        if _STARTS.match(line):
            yield Command(page, line.partition(" | ")[0], False)


def all_commands() -> list[Command]:
    """Every command of every page once, as a shown one where it is shown anywhere."""
    found = [
        command
        for path in pages()
        for command in commands(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
    ]
    return list({command.text: command for command in sorted(found, key=lambda c: c.shown)}.values())


def untagged(path: Path) -> list[str]:
    """First lines of blocks without a language that look like commands to type."""
    first = [text.split("\n")[0] for language, text in blocks(path) if language in ("", "text")]
    return [line for line in first if _STARTS.match(line)]


def reason_not_here(command: Command) -> str:
    """Why no test runs this command; empty where one can."""
    line = " ".join(command.words)
    return next((why for start, why in NOT_HERE.items() if line == start or line.startswith(f"{start} ")), "")


def fault(command: Command) -> str:
    """What is wrong with a command; empty where it is well formed, or is one of `NOT_HERE`."""
    if reason_not_here(command):
        return ""
    judge = _JUDGES.get(command.words[0])
    if judge is None:
        return "no test knows this program"
    if not command.shown and "..." in command.words:
        return ""
    return judge(command)


def _parallax(command: Command) -> str:
    group = typer.main.get_command(app)
    name, *given = command.words[1:]
    if name not in group.commands:
        return f"there is no command {name}"
    try:
        group.commands[name].make_context(name, list(given))  # it empties the list
    except click.exceptions.Exit:
        return ""
    except Exception as error:
        lacks = type(error).__name__ == "MissingParameter"
        return "" if lacks and not command.shown else f"{type(error).__name__}: {error}"
    return _unknown_values(given)


@cache
def _rules() -> set[str]:
    files = [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]
    return {name for path in files for name in re.findall(r"^rule (\w+):", path.read_text(), re.MULTILINE)}


@cache
def _parser():
    from snakemake.cli import get_argument_parser

    return get_argument_parser()


def _snakemake(command: Command) -> str:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            given = _parser().parse_args(command.words[1:])
    except SystemExit:
        return said.getvalue().strip().splitlines()[-1]
    targets = set(given.targets or ()) - _rules()
    if targets:
        return f"no such target: {', '.join(targets)}"
    files = [str(path) for path in given.configfile or ()]
    folders = [str(path) for path in given.profile or () if str(path) not in MADE_BY_READER]
    absent = [name for name in files + folders if not _there(name)]
    if absent:
        return f"not in the project: {', '.join(absent)}"
    values = [word for word in command.words if re.match(r"\w+=", word)]
    return _unknown_values(["--config", *values]) if given.config else ""


def _there(name: str) -> bool:
    path = name.removeprefix("/opt/parallax/")
    return (ROOT / path).exists() or Path(path).stem in MADE_BY_READER


def _unknown_values(words: list[str]) -> str:
    """Keys, methods, datasets and configurations that are not in the project."""
    for word in words:
        key, equals, value = word.partition("=")
        if word.startswith("config/") and not _there(word):
            return f"there is no {word}"
        if not equals or "--config" not in words:
            continue
        if key not in RunConfig.model_fields:
            return f"there is no key {key}"
        known = {"methods": method_cards(), "datasets": dataset_cards()}.get(key)
        names = {name.partition(":")[0] for name in value.split(",")} - MADE_BY_READER
        if known and value != "..." and names - set(known) - {"all"}:
            return f"no such {key}: {', '.join(names - set(known))}"
    return ""


def _make(command: Command) -> str:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    variables = set(re.findall(r"^(\w+) *[?:]?=", text, re.MULTILINE)) | set(
        re.findall(r"\$\((ARGS)\)", text)
    )
    targets = {
        target.replace("$(READY)", ".venv/.ready")
        for target in re.findall(r"^([^\s:#=]+):(?!=)", text, re.MULTILINE)
    }
    given = {word.partition("=")[0] for word in command.words[1:] if "=" in word}
    wanted = {word for word in command.words[1:] if "=" not in word}
    unknown = [*sorted(given - variables), *sorted(wanted - targets)]
    return f"the Makefile has no {', '.join(unknown)}" if unknown else ""


def _python(command: Command) -> str:
    script, *given = command.words[1:]
    if script == "-m":
        module, *given = given
        if module == "pytest":
            return _pytest(Command(command.page, " ".join(["pytest", *given]), command.shown))
        found = importlib.util.find_spec(module)
        return "" if found else f"there is no module {module}"
    path = ROOT / script
    if not path.is_file():
        return f"there is no {script}"
    text = path.read_text(encoding="utf-8")
    unknown = [word for word in given if word.startswith("--") and f'"{word}"' not in text]
    return f"{script} does not take {', '.join(unknown)}" if unknown else ""


def _pytest(command: Command) -> str:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]
    marks = {mark.partition(":")[0] for mark in settings["ini_options"]["markers"]}
    words = command.words[1:]
    marked = {words[i + 1] for i, word in enumerate(words) if word == "-m"}
    if marked - marks:
        return f"no such mark: {', '.join(marked - marks)}"
    absent = [word for word in words if word.endswith(".py") and not (ROOT / word).is_file()]
    return f"there is no {', '.join(absent)}" if absent else ""


def _flock(command: Command) -> str:
    return "" if command.words[1:] == ["--nonblock", "results/.try", "true"] else "another lock"


_JUDGES = {
    "parallax": _parallax,
    "snakemake": _snakemake,
    "make": _make,
    "python": _python,
    "pytest": _pytest,
    "flock": _flock,
    "echo": lambda _: "",
}


def configurations(path: Path) -> list[dict]:
    """The whole configurations that a page shows: YAML blocks that begin with their own path."""
    return [
        yaml.safe_load(text)
        for language, text in blocks(path)
        if language == "yaml" and text.startswith("# config/")
    ]

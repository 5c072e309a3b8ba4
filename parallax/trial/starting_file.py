"""A file to start a baseline from, which keeps the contract as it stands."""

from __future__ import annotations

import keyword
from pathlib import Path

from parallax.errors import ConfigError
from parallax.plugin import method_cards

_TEMPLATES = Path(__file__).parent / "templates"


def write_starting_file(name: str, folder: Path, *, semi_supervised: bool = False) -> Path:
    """Write `folder`/`name`.py: a U-Net per modality, or a semi-supervised method; returns its path.

    Raises:
        ConfigError: the name cannot be one or is taken, or the file is there already.
    """
    import jinja2

    _check_name(name)
    path = folder / f"{name}.py"
    if path.exists():
        raise _refused(
            "The file is there already", path.as_posix(), "a new file", name, "choose another name"
        )
    if not folder.is_dir():
        raise _refused(
            "There is no such folder",
            "--folder",
            "a folder",
            folder.as_posix(),
            "make it, or run in the checkout",
        )
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    template = environment.get_template("semi_supervised.py.j2" if semi_supervised else "baseline.py.j2")
    words = name.split("_")
    text = template.render(
        name=name, title=" ".join(words).capitalize(), class_name="".join(word.capitalize() for word in words)
    )
    path.write_text(text, encoding="utf-8")
    return path


def _check_name(name: str) -> None:
    good = name.isidentifier() and name.isascii() and name == name.lower() and name[0].isalpha()
    if not good or keyword.iskeyword(name):
        raise _refused(
            "A method cannot be called that",
            "parallax new-baseline NAME",
            "small letters, digits and _, beginning with a letter, and no Python keyword",
            repr(name),
            "choose such a name, for instance my_baseline",
        )
    if name in (cards := method_cards()):
        raise _refused(
            "The name is taken",
            cards[name].path.as_posix(),
            "a name that no installed method has",
            name,
            "choose another one; `parallax list` shows those that are taken",
        )


def _refused(what: str, where: str, expected: str, found: str, remedy: str) -> ConfigError:
    return ConfigError(what, where=where, expected=expected, found=found, remedy=remedy)

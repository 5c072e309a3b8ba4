"""The command `parallax`: look at plug-ins, try one, check data, score, plan, compare and pass on runs.

Exit codes: 0 done, 1 the answer is no, 2 wrong use or bad input.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

import typer

from parallax.cli import data, methods, runs
from parallax.errors import UserError, end_refused

_COMMANDS: Mapping[str, Callable[..., None]] = {
    "list": methods.list_plugins,
    "check-data": data.check_data,
    "score": data.score,
    "plan": runs.plan,
    "try": methods.try_file,
    "new-baseline": methods.new_baseline,
    "diff": runs.diff,
    "merge": runs.merge,
    "figure": runs.figure,
    "export": runs.export,
}


def _root() -> None:
    """Which segmentation method still works when labels are scarce and modalities do not line up?"""


def make_app() -> typer.Typer:
    """All commands; their help is what their functions say."""
    made = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
    made.callback()(_root)
    for name, function in _COMMANDS.items():
        made.command(name)(function)
    return made


app = make_app()


def main() -> None:
    """Entry point: errors of the user's go to stderr as one paragraph; `--debug` shows the traceback."""
    debug = "--debug" in sys.argv
    try:
        app([argument for argument in sys.argv[1:] if argument != "--debug"])
    except UserError as error:
        if debug:
            raise
        end_refused(error)

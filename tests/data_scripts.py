"""Runs a script of the workflow in this process."""

import importlib.util
import sys
from unittest import mock

from parallax.plugin import plugin_root

SCRIPTS = plugin_root() / "workflow" / "scripts"


def run(script, **arguments):
    """Call `main` of a script: `run("split", out_dir=x)` is `split.py --out-dir x`."""
    spec = importlib.util.spec_from_file_location(f"script_{script}", SCRIPTS / f"{script}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    given = [text for key, value in arguments.items() for text in (f"--{key.replace('_', '-')}", str(value))]
    with mock.patch.object(sys, "argv", [script, *given]):
        module.main()

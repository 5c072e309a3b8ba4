"""Fuzz one target, guided by the branches that an input takes.

python -m fuzz.run NAME FOLDER [options of libFuzzer, such as -runs=1000 -seed=1 -max_total_time=60]

FOLDER keeps what is found from one time to the next: `inputs/` (each takes a way of its own through the code)
and `crash-*`, the input that broke something.
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["parallax"]):
    from fuzz.seeds import dictionary, seeds
    from fuzz.targets import TARGETS


def main(name, folder, *options):
    place, inputs = Path(folder), Path(folder) / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    (place / "words").write_text(dictionary(name), encoding="utf-8")
    known = [f"-dict={place / 'words'}"] if dictionary(name) else []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        work = Path(scratch)
        for seed, content in seeds(name, work).items():
            (inputs / seed).write_bytes(content)
        given = [*known, f"-artifact_prefix={place}/", *options, str(inputs)]

        def once(data):
            TARGETS[name](work, data)

        atheris.Setup([sys.argv[0], *given], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Every case of the corpus of bad input gets a clear error, quickly, in little memory, and leaves nothing behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from corpus.index import every_case
from corpus.server import LIMIT_MIB, LIMIT_S

CASES = every_case()
MOST_CHARACTERS = 8000


@pytest.fixture(scope="session")
def ask():
    """Run a case in a process of its own, under the limits: `ask(case, folder)` is its outcome."""
    tests = Path(__file__).parent
    command = [sys.executable, "-m", "corpus.server"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tests
    ) as server:

        def asked(case, folder):
            server.stdin.write(json.dumps([case.id, str(folder)]) + "\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        yield asked
        server.stdin.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_bad_input_gets_a_clear_error_and_leaves_nothing(case, ask, tmp_path):
    outcome = ask(case, tmp_path)
    printed = outcome["printed"]
    assert "Traceback" not in printed, printed
    assert outcome["status"] in ({1, 2} if case.answer == "refused" else {0}), printed
    assert [word for word in case.says if word not in printed] == [], printed
    assert case.answer == "named" or "Remedy: " in printed, printed
    assert len(printed) < MOST_CHARACTERS
    assert outcome["changed"] == []
    assert outcome["taken_s"] < LIMIT_S
    assert outcome["peak_mib"] < LIMIT_MIB

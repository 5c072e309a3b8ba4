"""Good files with a few bytes changed, cut or added, and bytes of no kind: read, or refused (targets.py)."""

import pytest
from fuzz.seeds import seeds, words
from fuzz.targets import TARGETS
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

FILES = {"volumes": 60, "lists": 60, "config": 60, "table": 40, "metrics": 40}


@st.composite
def damaged(draw, contents, pieces):
    """One of the contents after up to four changes: a byte, a piece put in, a stretch lost, the end lost."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        kind = draw(st.sampled_from(["byte", "piece", "stretch", "end"]))
        if kind == "byte":
            content[place : place + 1] = bytes([draw(st.integers(0, 255))])
        elif kind == "piece":
            content[place:place] = draw(st.sampled_from(pieces) | st.binary(max_size=8))
        else:
            del content[place : place + draw(st.integers(1, 16)) if kind == "stretch" else None]
    return bytes(content)


@pytest.mark.parametrize("name", FILES)
def test_any_bytes_are_read_or_refused_with_a_clear_error(name, tmp_path):
    contents = sorted(seeds(name, tmp_path).values())
    pieces = [word.encode() for word in words(name)] or [b"\0"]

    @examples(FILES[name])
    @given(st.binary(max_size=60) | damaged(contents, pieces) | damaged(contents, pieces))
    def tried(data):
        TARGETS[name](tmp_path, data)

    tried()


def test_every_target_is_tried():
    assert set(FILES) == set(TARGETS)

"""Connected components."""

import numpy as np

from parallax.data.components import beside_largest


def test_all_but_the_largest_component():
    structure = np.zeros((6, 6, 6), dtype=bool)
    structure[0, 0, :2] = True
    structure[3:5, 3:5, 3] = True
    structure[5, 5, 4] = True  # shares a corner with the square
    beside, count = beside_largest(structure)
    assert count == 2
    assert np.argwhere(beside).tolist() == [[0, 0, 0], [0, 0, 1]]
    assert not beside_largest(structure, 2)[0].any()


def test_nothing_is_beside_one_or_no_component():
    one = np.zeros((3, 3, 3), dtype=bool)
    assert beside_largest(one)[1] == 0
    one[1, 1] = True
    beside, count = beside_largest(one)
    assert count == 1
    assert not beside.any()

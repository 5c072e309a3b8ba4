"""Any volume that can be written is read back as it was; other bytes are refused (tests/fuzz)."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from properties import examples

from parallax.case import Volume
from parallax.data.volumes import read_grid, read_label_map, read_volume, same_grid, write_volume

KINDS = (np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.float32, np.float64)
SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=5)
ENDINGS = st.sampled_from([".nii", ".nii.gz"])


@st.composite
def affines(draw):
    """Any turn and mirror image of axes of 0.01 to 100 mm, anywhere within ten metres."""
    angles = [draw(st.floats(-np.pi, np.pi)) for _ in range(3)]
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        one = np.eye(3)
        rest = [i for i in range(3) if i != axis]
        one[np.ix_(rest, rest)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        turn = turn @ one
    signed = [draw(st.floats(0.01, 100)) * draw(st.sampled_from([1, -1])) for _ in range(3)]
    affine = np.eye(4)
    affine[:3, :3] = turn * signed
    affine[:3, 3] = [draw(st.floats(-1e4, 1e4)) for _ in range(3)]
    return affine


def arrays(kind):
    elements = {"allow_nan": False, "allow_infinity": False} if np.dtype(kind).kind == "f" else None
    bounds = elements and elements | {"min_value": -(2.0**100), "max_value": 2.0**100}
    return hnp.arrays(kind, SHAPES, elements=bounds and hnp.from_dtype(np.dtype(kind), **bounds))


@examples(60)
@given(st.sampled_from(KINDS).flatmap(arrays), affines(), ENDINGS)
def test_a_volume_comes_back_as_it_was_written(tmp_path, array, affine, ending):
    path = tmp_path / f"a{ending}"
    write_volume(Volume(array, affine), path)
    found = read_volume(path)
    stored = np.float32 if array.dtype.kind == "f" else array.dtype
    assert found.array.dtype == stored
    np.testing.assert_array_equal(found.array, array.astype(stored))
    np.testing.assert_allclose(found.affine, affine, rtol=1e-6, atol=1e-5)  # a header holds 32 bits
    assert same_grid(read_grid(path), found.grid)


@examples(30)
@given(
    hnp.arrays(np.uint8, SHAPES, elements=st.integers(0, 4)),
    affines(),
    st.sampled_from([np.uint8, np.int16, np.float32]),
)
def test_a_label_map_comes_back_with_its_ids(tmp_path, label, affine, kind):
    path = tmp_path / "a.nii.gz"
    write_volume(Volume(label.astype(kind), affine), path)
    found = read_label_map(path, {value: 10 * value for value in range(5)})
    assert found.array.dtype == np.uint8
    np.testing.assert_array_equal(found.array, 10 * label)

"""NSD: areas, weights, tolerance, and its place in the tables."""

import math

import numpy as np
import pandas as pd
import pytest
from tidy import method_rows, row

from parallax.errors import DataError
from parallax.score.metrics import score_masks
from parallax.score.nsd import boundary_areas_mm2, nsd, pattern_areas_mm2
from parallax.score.surface import surface_distances
from parallax.score.table import check_row, read_rows, to_frame, typed, write_rows
from parallax.tables.layout import Context
from parallax.tables.per_condition import full_tables, main_tables
from parallax.tables.summary import summarise, summarise_by_structure


def box(shape, lo, hi):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(lo, hi, strict=True))] = True
    return mask


def area_mm2(mask, spacing_mm):
    return boundary_areas_mm2(surface_distances(mask, mask, spacing_mm).reference, spacing_mm)


def bevelled_area_mm2(voxels, spacing_mm):
    """Of a block whose edges and corners are cut half a voxel deep, as marching cubes does."""
    (a, b, c), (x, y, z) = voxels, spacing_mm
    flat = 2 * ((a - 1) * (b - 1) * x * y + (b - 1) * (c - 1) * y * z + (a - 1) * (c - 1) * x * z)
    edges = 2 * (
        (a - 1) * x * math.hypot(y, z) + (b - 1) * y * math.hypot(x, z) + (c - 1) * z * math.hypot(x, y)
    )
    corners = math.sqrt((x * y) ** 2 + (y * z) ** 2 + (x * z) ** 2)
    return flat + edges + corners


@pytest.mark.parametrize(
    ("voxels", "spacing_mm"),
    [((10, 10, 10), (1, 1, 1)), ((1, 1, 1), (5, 0.8, 0.7)), ((4, 9, 6), (5, 0.8, 0.7))],
)
def test_area_of_a_block_is_that_of_its_marching_cubes_surface(voxels, spacing_mm):
    mask = box((14, 14, 14), (2, 3, 4), np.add((2, 3, 4), voxels))
    areas = area_mm2(mask, spacing_mm)
    assert areas.sum() == pytest.approx(bevelled_area_mm2(voxels, spacing_mm), rel=1e-12)
    assert areas.min() > 0


def test_areas_prefer_no_axis():
    areas = pattern_areas_mm2((1.0, 2.0, 3.0))
    turned = pattern_areas_mm2((3.0, 1.0, 2.0))
    cubes = (np.arange(256)[:, None] >> np.arange(8) & 1).reshape(256, 2, 2, 2)
    numbers = cubes.transpose(0, 3, 1, 2).reshape(256, 8) @ (1 << np.arange(8))
    np.testing.assert_allclose(turned[numbers], areas, rtol=1e-12)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (5.0, 0.8, 0.7)])
def test_parts_count_by_area_and_not_by_voxels(spacing_mm):
    shape = (60, 40, 40)
    still = box(shape, (2, 2, 2), (8, 20, 30))
    reference, prediction = (still | box(shape, (x, 5, 5), (x + 3, 12, 13)) for x in (30, 40))
    far = bevelled_area_mm2((3, 7, 8), spacing_mm)
    near = bevelled_area_mm2((6, 18, 28), spacing_mm)
    found = nsd(surface_distances(reference, prediction, spacing_mm), 1.0)
    assert found == pytest.approx(near / (near + far), rel=1e-12)


def test_a_distance_equal_to_the_tolerance_lies_within_it():
    a, b = box((9, 9, 9), (4, 4, 4), (5, 5, 5)), box((9, 9, 9), (4, 4, 7), (5, 5, 8))
    distances = surface_distances(a, b, (1.0, 1.0, float(np.float32(0.8))))  # a header rounds 0.8 up
    assert (nsd(distances, 2.4), nsd(distances, 2.39)) == (1.0, 0.0)


@pytest.mark.parametrize("tolerance_mm", [0.0, -1.0, math.nan])
def test_no_value_without_a_tolerance(tolerance_mm):
    mask = box((5, 5, 5), (1, 1, 1), (3, 3, 3))
    with pytest.raises(ValueError, match="tolerance"):
        nsd(surface_distances(mask, mask, (1.0, 1.0, 1.0)), tolerance_mm)
    assert "nsd" not in score_masks(mask, mask, (1.0, 1.0, 1.0), 9.0).values


def nsd_rows(method, values, tolerances):
    kinds = {"metric": "nsd", "method": method}
    return [
        row(case=f"case{i}", structure=name, value=value, tolerance_mm=tolerance, **kinds)
        for i, value in enumerate(values)
        for name, tolerance in tolerances.items()
    ]


def test_a_row_of_nsd_carries_its_tolerance(tmp_path):
    rows = nsd_rows("nnunet", [0.5], {"large": 1.5})
    write_rows(rows, tmp_path / "scores.csv")
    assert read_rows(tmp_path / "scores.csv") == rows
    with pytest.raises(DataError, match="with its tolerance"):
        check_row(row(metric="nsd", value=0.5))
    older = to_frame(rows).drop(columns="tolerance_mm")
    assert typed(older)["tolerance_mm"].isna().all()


def table_of(tolerances):
    rows = [*method_rows("nnunet", 0.7), *nsd_rows("nnunet", [0.4, 0.8], tolerances)]
    rows += method_rows("nnunet", 0.7, structure="small") if "small" in tolerances else []
    frame = to_frame(rows)
    lines, parts = summarise(frame), summarise_by_structure(frame)
    (main,) = main_tables(lines, pd.DataFrame(), Context({}))
    return main, {table.name.split("_")[1]: table for table in full_tables(parts, lines, Context({}))}


def test_tables_print_the_tolerance_in_the_header():
    main, full = table_of({"large": 1.5})
    cells = dict(zip(main.header, main.rows[0], strict=True))
    assert cells["NSD (1.5 mm)"] == "0.600 ± 0.283"
    assert full["nsd"].title.startswith("NSD (1.5 mm)")
    assert full["nsd"].rows == (("nnunet", "0.600 ± 0.283", "–"),)


def test_tables_list_tolerances_where_structures_differ():
    main, full = table_of({"large": 1.5, "small": 1.0})
    assert "NSD" in main.header
    for table in (main, full["nsd"]):
        assert any("Tolerance in mm: 1 (small), 1.5 (large)." in note for note in table.notes)


def test_a_table_without_nsd_has_no_column_for_it():
    lines = summarise(to_frame(method_rows("nnunet", 0.7)))
    (main,) = main_tables(lines, pd.DataFrame(), Context({}))
    assert not any("NSD" in name for name in main.header)
    assert (
        len(full_tables(summarise_by_structure(to_frame(method_rows("nnunet", 0.7))), lines, Context({})))
        == 2
    )

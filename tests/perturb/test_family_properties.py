"""Any size and seed is replayed from its JSON voxel by voxel; where nothing is asked, nothing changes."""

import json
from dataclasses import fields, replace
from typing import get_type_hints

import numpy as np
import pytest
from families_toy import LEVELS, replayed
from hypothesis import given
from hypothesis import strategies as st
from properties import answer, clear, examples

from parallax.case import Case, Volume
from parallax.errors import UserError
from parallax.perturb import annotate, families
from parallax.perturb.annotate import AnnotationParameters
from parallax.perturb.annotation import Annotation
from parallax.perturb.level import parameters_for, read_level

#: The size of each family, and what it may be in a small case.
SIZES = {
    "rigid": ("target_rms_mm", st.floats(0.01, 20)), "elastic": ("target_rms_mm", st.floats(0.01, 3)),
    "respiratory": ("target_rms_mm", st.floats(0.01, 10)), "composite": ("target_rms_mm", st.floats(0.01, 4)),
    "fov": ("covered_fraction", st.floats(0.2, 0.99)), "spacing": ("slice_factor", st.floats(1.1, 3)),
    "subject": ("swapped_fraction", st.floats(0.01, 1)),
}  # fmt: skip
SEEDS = st.integers(0, 2**32 - 1)
VALUES = {
    float: st.floats(allow_nan=False), int: st.integers(-(2**63), 2**63), str: st.text(max_size=5),
    bool: st.booleans(),
}  # fmt: skip


def small_case(name, rng):
    """Noise around a block, in two modalities on grids of their own, one of them slanted."""
    images, labels = {}, {}
    for modality, shape in (("CT", (11, 10, 9)), ("MR", (12, 13, 8))):
        affine = np.diag([2.5, 2.0, 3.0, 1.0])
        affine[:3, 3] = rng.uniform(-9, 9, 3)
        affine[0, 1] = 0.1 * (modality == "MR")
        label = np.zeros(shape, np.uint8)
        label[3:8, 3:8, 2:7] = 1
        images[modality] = Volume(rng.normal(100 * label, 20).astype(np.float32), affine)
        labels[modality] = Volume(label, affine)
    return Case(name, images, labels)


def pair(seed):
    rng = np.random.default_rng(seed)
    return small_case("a", rng), small_case("b", rng)


@pytest.mark.parametrize("family", LEVELS)
def test_what_was_drawn_is_replayed_voxel_by_voxel(family):
    key, sizes = SIZES[family]

    @examples(6)
    @given(SEEDS, sizes, st.sampled_from(["CT", "MR"]))
    def tried(seed, size, moved):
        case, donor = pair(seed)
        level = replace(LEVELS[family], moved=moved, **{key: size})
        drawn = parameters_for(case, level, np.random.default_rng(seed), donor=donor, swapped_fraction=1.0)
        again = parameters_for(case, level, np.random.default_rng(seed), donor=donor, swapped_fraction=1.0)
        assert replayed(drawn) == drawn == again
        first, second = (families.apply(case, p, {"b": donor}.__getitem__) for p in (drawn, replayed(drawn)))
        for kind in ("images", "labels"):
            one, two = getattr(first, kind)[moved], getattr(second, kind)[moved]
            assert one.array.tobytes() == two.array.tobytes()
            assert one.affine.tobytes() == two.affine.tobytes()
            other = "CT" if moved == "MR" else "MR"
            assert getattr(first, kind)[other] is getattr(case, kind)[other]
        assert set(np.unique(first.labels[moved].array)) <= {0, 1}

    tried()


@examples(40)
@given(st.sampled_from(sorted(LEVELS)), SEEDS, st.sampled_from(["CT", "MR"]))
def test_severity_zero_keeps_every_bit(two_modality_task, family, seed, moved):
    level = read_level({"name": "s", "family": family, "severity": 0, "moved": moved}, two_modality_task)
    case, donor = pair(seed)
    before = [volume.array.tobytes() for kind in (case.images, case.labels) for volume in kind.values()]
    drawn = parameters_for(case, level, np.random.default_rng(seed), donor=donor, swapped_fraction=1.0)
    left = families.apply(case, replayed(drawn), {"b": donor}.__getitem__)
    assert [v.array.tobytes() for kind in (left.images, left.labels) for v in kind.values()] == before
    assert all(left.images[m].affine.tobytes() == case.images[m].affine.tobytes() for m in case.images)


def _of_any_numbers(kind):
    hints = get_type_hints(kind)
    plain = {f.name: VALUES[hints[f.name]] for f in fields(kind) if hints[f.name] in VALUES}
    return st.builds(kind, **plain)


@examples(100)
@given(
    st.sampled_from(sorted(LEVELS)).flatmap(lambda family: _of_any_numbers(type(families.none(family, "MR"))))
)
def test_parameters_of_any_numbers_come_back_from_their_json(parameters):
    assert replayed(parameters) == parameters
    assert repr(replayed(parameters)) == repr(parameters)  # -0.0 is no 0.0


LABELS = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).integers(0, 3, (2, 6, 7, 5)).astype(np.uint8)
)
ANNOTATIONS = st.sampled_from(
    [
        {}, {"modalities": ["CT"]}, {"drop": {"structures": 1}},
        {"drop": {"structures": ["small"], "as": "unknown"}},
        {"coarse": {"as": "slices", "every": 2.5}}, {"coarse": {"as": "blocks", "every": 2}},
        {"coarse": {"as": "slices", "every": 3, "between": "interpolate"}}, {"noisy": {"sigma_mm": 1.5}},
    ]
)  # fmt: skip


@examples(40)
@given(SEEDS, LABELS, ANNOTATIONS)
def test_an_annotation_is_replayed_voxel_by_voxel(two_modality_task, seed, label, wanted):
    task, spacing_mm = two_modality_task, (2.0, 1.0, 3.0)
    annotation = Annotation.model_validate(wanted)
    drawn = annotate.draw(np.random.default_rng(seed), label, annotation, task, spacing_mm)
    again = AnnotationParameters.from_json(json.loads(json.dumps(drawn.to_json())))
    assert again == drawn
    before = label.tobytes()
    first, second = (annotate.apply(label, p, task, spacing_mm) for p in (drawn, again))
    assert first.tobytes() == second.tobytes()
    assert label.tobytes() == before
    if wanted == {}:
        assert first.tobytes() == before


LEVEL_KEYS = st.sampled_from(["family", "severity", "rms_mm", "knot_mm", "slice_mm", "moved"])
LEVEL_VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([*LEVELS, "CT", "", [1, 2, 3]])
)


@examples(100)
@given(st.dictionaries(LEVEL_KEYS, LEVEL_VALUES, max_size=4))
def test_any_level_is_read_or_refused(two_modality_task, values):
    found = answer(read_level, {"name": "s"} | values, two_modality_task)
    assert clear(found) if isinstance(found, UserError) else found.moved in ("CT", "MR")

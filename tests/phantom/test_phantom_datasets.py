"""The phantom data sets through their contract: options, ids, staging and reading."""

import numpy as np
import pytest

from parallax.errors import ConfigError, DataError
from parallax.plugin import load_dataset

NAMES = ("phantom_heart", "phantom_abdomen", "phantom_orbit")


def _files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module", params=NAMES)
def staged(request, tmp_path_factory):
    dataset = load_dataset(request.param, {"cases": 3, "size": "small"})
    folder = tmp_path_factory.mktemp(request.param)
    dataset.stage(dataset.case_ids()[:2], folder)
    return dataset, folder


def test_cases_hold_all_modalities_and_structures(staged):
    dataset, folder = staged
    for case_id in dataset.case_ids()[:2]:
        case = dataset.read(case_id, folder)
        assert tuple(case.images) == dataset.task.modality_names
        for modality, label in case.labels.items():
            assert label.array.shape == case.images[modality].array.shape
            assert set(np.unique(label.array)) == set(range(dataset.task.n_classes))


def test_stored_axes_differ_but_world_positions_agree(staged):
    dataset, folder = staged
    case = dataset.read(dataset.case_ids()[0], folder)
    centres = []
    for label in case.labels.values():
        index = np.argwhere(label.array == 1)
        centres.append((index @ label.affine[:3, :3].T + label.affine[:3, 3]).mean(axis=0))
    assert len({tuple(np.sign(v.affine[:3, :3]).ravel()) for v in case.images.values()}) == 2
    assert np.allclose(centres, centres[0], atol=1e-9)


def test_turned_grids_coincide_exactly_with_the_common_frame(staged):
    from parallax.data.frame import to_common

    dataset, folder = staged
    case = dataset.read(dataset.case_ids()[0], folder)
    common = to_common(case, dataset.task)
    assert common.grid.spacing_mm == dataset.task.spacing_mm
    label = np.asarray(common.label)
    assert all(np.array_equal(label[0], channel) for channel in label)


def test_subsets_stage_the_same_bytes(staged, tmp_path):
    dataset, folder = staged
    for case_id in reversed(dataset.case_ids()[:2]):
        dataset.stage([case_id], tmp_path)
    assert _files(tmp_path) == _files(folder)


def test_grids_suit_the_networks(staged):
    dataset, folder = staged
    shape = dataset.read(dataset.case_ids()[0], folder).images[dataset.task.modality_names[0]].array.shape
    assert all(n % 16 == 0 for n in shape)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "options", [{"case": 3}, {"cases": 0}, {"cases": True}, {"size": "huge"}, {"seed": -1}]
)
def test_wrong_options_are_refused(name, options):
    with pytest.raises(ConfigError, match=name):
        load_dataset(name, options)


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_stable(name):
    few, many = load_dataset(name, {"cases": 3}).case_ids(), load_dataset(name, {}).case_ids()
    assert few == many[:3]
    assert len(set(many)) == 30


@pytest.mark.parametrize("name", NAMES)
def test_missing_files_are_named(name, tmp_path):
    dataset = load_dataset(name, {})
    with pytest.raises(DataError, match=tmp_path.name):
        dataset.read(dataset.case_ids()[0], tmp_path)

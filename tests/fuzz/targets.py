"""What is run with any bytes: each target returns what it read, or None where a `UserError` refused it.

Anything else is a bug: another exception, an error that does not name the file, a value that is no answer.
The first byte says which kind of file the others are.
"""

import gzip
import json

import numpy as np
from properties import answer, clear

from parallax.data.given import given_yaml
from parallax.data.header import check_affine
from parallax.data.manifest import nnunet_classes, nnunet_description, read_manifest
from parallax.data.reading import Loaded, Rules, finish_scan, header_notes
from parallax.data.split_list import read_split_list
from parallax.data.volumes import load_volume, read_grid, read_label_map, read_volume, write_volume
from parallax.errors import UserError
from parallax.run.config import RunConfig
from parallax.run.resolve import given_values, resolve
from parallax.score.metrics import score_label_maps
from parallax.score.table import read_rows, read_table, write_rows

MODALITIES = ("CT", "MR")
#: Few, as areas are worked out once for each spacing.
SPACINGS_MM = (0.7, 1.0, 2.5, 5.0)


def as_it_is(content):
    return content


def packed(content):
    return gzip.compress(content, compresslevel=1, mtime=0)


#: Name of the file, and how its bytes are stored: the sums of gzip would stop every other change at once.
VOLUMES = (
    ("a.nii", as_it_is), ("b.nii.gz", packed), ("c.nii.gz", as_it_is), ("d.hdr", as_it_is),
    ("e.mha", as_it_is), ("f.nrrd", as_it_is),
)  # fmt: skip
LISTS = ("cases.csv", "list.json", "dataset.json", "split.csv")
CONFIGS = ("run.yaml", "--config")


def refused_or_read(function, *given, named):
    """The answer, or None after an error that says what a user needs, and where."""
    found = answer(function, *given)
    if not isinstance(found, UserError):
        return found
    assert clear(found), found
    assert named in str(found), found
    return None


def kind_of(kinds, data):
    """Which kind the first byte says, and the bytes behind it."""
    return kinds[(data[0] if data else 0) % len(kinds)], data[1:]


def volumes(folder, data):
    """An image: finite numbers on a usable grid, which the header alone tells too, and can be written."""
    (name, stored), content = kind_of(VOLUMES, data)
    path = folder / name
    path.write_bytes(stored(content))
    (folder / "d.img").write_bytes(bytes(960))
    loaded = refused_or_read(load_volume, path, named=name)
    if loaded is None:
        return None
    grid = read_grid(path)
    assert grid.shape == loaded.array.shape
    np.testing.assert_array_equal(grid.affine, check_affine(loaded.affine, path))
    refused_or_read(read_label_map, path, range(256), named=name)
    scan = Loaded(path, loaded, header_notes(path))
    found = refused_or_read(finish_scan, "CT", scan, None, Rules({}), named=name)
    if found is not None:
        assert np.isfinite(found.image.array).all()
        write_volume(found.image, folder / "again.nii")
        np.testing.assert_array_equal(read_volume(folder / "again.nii").array, found.image.array)
    return found


def lists(folder, data):
    """A list of cases or a split: each case once, and no path that leads out of the folder."""
    name, content = kind_of(LISTS, data)
    path = folder / name
    path.write_bytes(content)
    if name == "split.csv":
        return refused_or_read(read_split_list, str(path), named=name)
    (folder / "imagesTr").mkdir(exist_ok=True)
    (folder / "imagesTr" / "a_0000.nii.gz").touch()
    rows = refused_or_read(read_manifest, folder, path, MODALITIES, named=folder.name)
    if rows is not None:
        assert len({row.case for row in rows}) == len(rows) > 0
        paths = [path for row in rows for path in (*row.images.values(), *row.labels.values())]
        assert all(path.resolve().is_relative_to(folder.resolve()) for path in paths)
    if name == "dataset.json":
        description = refused_or_read(nnunet_description, folder, named=name)
        if description is not None:
            refused_or_read(nnunet_classes, description, name, named=name)
    return rows


def config(folder, data):
    """A configuration, which a job reads back as it was resolved."""
    kind, content = kind_of(CONFIGS, data)
    (folder / "base.yaml").write_text("datasets: {}\n", encoding="utf-8")
    if kind == "--config":
        pairs = content.decode("utf-8", "replace").split("\n")
        return refused_or_read(given_values, pairs, named="--config")
    (folder / kind).write_bytes(content)
    values = refused_or_read(given_yaml, folder / kind, named=kind)
    if values is None:
        return None
    return resolved({"run": "fuzz"} | values, folder / "base.yaml")


def resolved(values, base):
    """The configuration of these values, or None."""
    found = refused_or_read(resolve, values, base, named="")
    if found is not None:
        dumped = json.loads(found.model_dump_json(exclude_none=True))
        assert RunConfig.model_validate(dumped) == found
    return found


def table(folder, data):
    """A table of scores, which is written as it was read."""
    path, again = folder / "scores.csv", folder / "again.csv"
    path.write_bytes(data)
    frame = refused_or_read(read_table, path, named=path.name)
    if frame is not None:
        write_rows(read_rows(path), again)
        assert read_table(again).equals(frame)
    return frame


def metrics(folder, data):
    """Scores of two label maps out of the bytes: in range, and the same the other way round and mirrored."""
    numbers = list(data.ljust(7, b"\1"))
    shape, spacing_mm = [n % 5 + 1 for n in numbers[:3]], tuple(SPACINGS_MM[n % 4] for n in numbers[3:6])
    maps = np.resize(np.array(numbers[6:], np.uint8) % 3, (2, *shape))
    one, other, mirrored = (
        score_label_maps(*pair, {"a": 1, "b": 2}, spacing_mm, 50.0, {"a": 1.0, "b": 2.0})
        for pair in (maps, maps[::-1], maps[:, ::-1, :, ::-1])
    )
    for name in ("a", "b"):
        for metric, value in one[name].values.items():
            sign = -1 if metric == "volume_difference_ml" else 1
            back = [sign * other[name].values[metric], mirrored[name].values[metric]]
            np.testing.assert_allclose(back, value, rtol=1e-9, atol=1e-9)
            assert metric not in ("dice", "nsd") or np.isnan(value) or 0 <= value <= 1
            assert metric not in ("hd95_mm", "assd_mm") or np.isnan(value) or value >= 0
    return one


TARGETS = {"volumes": volumes, "lists": lists, "config": config, "table": table, "metrics": metrics}

"""The viewer of cases: which cases, how they are cut, and what its folder holds."""

import base64
import gzip
import json

import nibabel
import numpy as np
import pytest
from tidy import method_rows, row, toy_rows
from tidy_run import AFFINE, ball, write_predictions, write_run, write_test_part

from parallax.case import Volume
from parallax.plugin import plugin_root
from parallax.report.viewer import build
from parallax.report.viewer.build import Shelf, catalogue, write_viewer
from parallax.report.viewer.cases import worst_first
from parallax.report.viewer.niivue import FOLDER, find_niivue, install, pinned_version
from parallax.report.viewer.volumes import MOST_VOXELS, cut_for, image_bytes, label_bytes, script
from parallax.score.table import read_table, to_frame
from parallax.tables.layout import Context

CONTEXT = Context({"nnunet": "nnU-Net"}, controls=frozenset({"oracle"}))
LOCK = plugin_root() / "parallax" / "report" / "viewer" / "package-lock.json"


@pytest.fixture
def run(tmp_path, two_modality_task):
    folder = write_run(tmp_path / "run", two_modality_task)
    write_test_part(folder / "data" / "toy" / "prepared" / "test", two_modality_task, moved=0)
    return folder


def shown(run, tmp_path, room=10**9):
    places = worst_first(read_table(run / "scores.parquet"), CONTEXT)
    return catalogue(run, places, Shelf(tmp_path / "volumes"), room)


def volume_of(name, folder):
    text = (folder / f"{name}.js").read_text()
    content = base64.b64decode(text.removeprefix(f'volume("{name}","').removesuffix('")\n'))
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(content))


def test_the_worst_case_of_every_condition_comes_first():
    places = worst_first(to_frame(toy_rows(3)), CONTEXT)
    assert [(place.condition, place.case) for place in places[:3]] == [
        ("100 % labels, aligned", "case0"),
        ("100 % labels, shifted", "case0"),
        ("100 % labels, aligned", "case1"),
    ]
    assert {one.key for one in places[0].predictions} == {"nnunet:paper", "zeta:paper", "alpha:paper"}
    # what failed is not there, and so says nothing about the case
    assert [one.key for one in places[1].predictions] == ["nnunet:paper"]
    assert places[0].mean == pytest.approx((0.7 + 0.9 + 0.8) / 3)
    assert places[1].shift_mm == 7.0


def test_of_several_draws_and_seeds_the_first_of_each_method_is_shown():
    rows = [
        *method_rows("nnunet", 0.5, cases=1, seed=1, label_draw=0, label_fraction=0.1),
        *method_rows("nnunet", 0.6, cases=1, seed=0, label_draw=1, label_fraction=0.1),
        *method_rows("cmc", 0.7, cases=1, seed=2, label_draw=1, label_fraction=0.1, annotation="ct_only"),
    ]
    folders = {one.folder for place in worst_first(to_frame(rows), CONTEXT) for one in place.predictions}
    assert folders == {"toy/aligned/f010-d0/nnunet/paper-s1", "toy/aligned/f010-d1-ct_only/cmc/paper-s2"}


def test_dice_is_by_modality_over_structures():
    rows = [row(structure=name, modality=modality, value=value)
            for name, modality, value in (("a", "CT", 0.2), ("b", "CT", 0.4), ("a", "MR", 0.9))]  # fmt: skip
    ((one,),) = (place.predictions for place in worst_first(to_frame(rows), CONTEXT))
    assert one.dice == pytest.approx({"CT": 0.3, "MR": 0.9})
    assert one.mean == pytest.approx(0.6)
    assert one.name == "nnU-Net"


def test_a_small_grid_is_kept_whole():
    truth = Volume(ball(), AFFINE)
    cut = cut_for(truth)
    assert cut.of(truth).array.shape == truth.array.shape
    assert cut.share_outside(truth.array) == 0


def test_a_large_grid_is_cut_to_its_structures_and_stays_where_it_is():
    array = np.zeros((300, 120, 40), np.uint8)
    array[20:280:1, 50:60, 10:20] = 2
    affine = np.array([[-1.0, 0, 0, 5], [0, 2.0, 0, 6], [0, 0, 4.0, 7], [0, 0, 0, 1]])
    cut = cut_for(Volume(array, affine))
    small = cut.of(Volume(array, affine))
    assert max(small.array.shape) <= MOST_VOXELS
    assert cut.every == (4, 1, 1)
    assert cut.start == (0, 40, 5)
    for voxel in ([3, 15, 7], [70, 2, 0]):
        source = np.array(cut.start) + np.array(cut.every) * voxel
        assert small.affine @ [*voxel, 1] == pytest.approx(affine @ [*source, 1])
        assert small.array[tuple(voxel)] == array[tuple(source)]
    stray = np.zeros_like(array)
    stray[30, 55, 15] = stray[30, 119, 39] = 1
    assert cut.share_outside(stray) == 0.5


def test_a_large_grid_without_structures_is_thinned():
    empty = Volume(np.zeros((200, 20, 20), np.uint8), np.eye(4))
    assert cut_for(empty).of(empty).array.shape == (67, 20, 20)
    assert cut_for(empty).share_outside(empty.array) == 0


def test_copies_are_the_same_bytes_and_hold_the_same_labels():
    image = Volume(np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32), np.eye(4))
    assert image_bytes(image) == image_bytes(image)
    grey = np.asarray(nibabel.Nifti1Image.from_bytes(gzip.decompress(image_bytes(image))).dataobj)
    assert (grey.dtype, grey.min(), grey.max()) == (np.uint8, 0, 255)
    order = np.argsort(image.array, axis=None)
    assert (np.diff(grey.reshape(-1)[order].astype(int)) >= 0).all()
    kept = nibabel.Nifti1Image.from_bytes(gzip.decompress(label_bytes(Volume(ball(), AFFINE))))
    assert (np.asarray(kept.dataobj) == ball()).all()
    assert (kept.affine == AFFINE).all()
    flat = Volume(np.full((4, 4, 4), 7.0, np.float32), np.eye(4))
    assert image_bytes(flat)
    name, text = script(b"content")
    assert text == f'volume("{name}","Y29udGVudA==")\n'


def test_the_catalogue_has_image_truth_and_prediction_of_each_modality(run, tmp_path):
    values = shown(run, tmp_path)
    assert values["left_out"] == 0
    first = values["places"][0]
    assert (first["condition"], first["shift_mm"], first["rotation_deg"]) == (
        "10 % labels, shifted",
        4.0,
        5.0,
    )
    ct, mr = first["scans"]
    assert "before" not in ct
    folder = tmp_path / "volumes"
    assert (np.asarray(volume_of(mr["truth"], folder).dataobj) == ball(2)).all()
    assert (np.asarray(volume_of(mr["before"]["truth"], folder).dataobj) == ball(0)).all()
    maps = first["predictions"][0]["maps"]
    assert (np.asarray(volume_of(maps["CT"]["volume"], folder).dataobj) == ball(1)).all()
    assert maps["CT"]["outside"] == 0
    assert first["predictions"][0]["by"]["MR"] == 1
    # what is equal is kept once: image and truth at two places, and the prediction of CT
    assert len(list(folder.iterdir())) == 5
    assert [item["name"] for item in values["datasets"]["toy"]["structures"]] == ["large", "small"]


def test_what_has_no_room_is_counted(run, tmp_path):
    values = shown(run, tmp_path, room=1)
    assert (len(values["places"]), values["left_out"]) == (1, 1)


def test_a_prediction_that_is_gone_is_left_out(run, tmp_path):
    (run / "runs/toy/shifted/f010-d0/nnunet/paper-s0/predictions/a__MR.nii.gz").unlink()
    places = {place["case"]: place for place in shown(run, tmp_path)["places"]}
    assert list(places["a"]["predictions"][0]["maps"]) == ["CT"]


def test_the_page_holds_names_as_text(run, tmp_path, monkeypatch):
    hostile = "</script><script>alert(1)</script>"
    library = tmp_path / "niivue.umd.js"
    library.write_text("niivue = {}")
    monkeypatch.setattr(build, "find_niivue", lambda: library)
    data = run / "runs/toy/shifted/f010-d0"
    write_predictions(data / "nnunet" / "paper-s0" / "predictions", {"CT": 1, "MR": 2}, ("a",))
    context = Context({"nnunet": hostile})
    write_viewer(run, read_table(run / "scores.parquet"), context, hostile, tmp_path / "out")
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "alert(1)</script>" not in text
    assert "&lt;/script&gt;" in text
    catalogued = text.split('id="catalogue">')[1].split("</script>")[0]
    assert json.loads(catalogued)["places"][0]["predictions"][0]["name"] == hostile
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "index.html", "niivue.js", "niivue-licence.txt", "volumes",
    }  # fmt: skip
    assert "Content-Security-Policy" in text


@pytest.mark.parametrize(("room", "says"), [(0, "viewer_mib: 0"), (48, "make viewer")])
def test_without_volumes_the_page_says_why(run, tmp_path, monkeypatch, room, says):
    monkeypatch.setattr(build, "find_niivue", lambda: None)
    write_viewer(run, read_table(run / "scores.parquet"), CONTEXT, "toy", tmp_path / "out", room)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["index.html"]
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert says in text
    assert "<script" not in text


def test_another_version_of_niivue_is_not_taken(tmp_path):
    assert find_niivue(tmp_path) is None
    package = tmp_path / FOLDER / "node_modules" / "@niivue" / "niivue"
    (package / "dist").mkdir(parents=True)
    (package / "dist" / "niivue.umd.js").write_text("")
    (package / "package.json").write_text(json.dumps({"version": "0.1.0"}))
    assert find_niivue(tmp_path) is None
    (package / "package.json").write_text(json.dumps({"version": pinned_version()}))
    assert find_niivue(tmp_path) == package / "dist" / "niivue.umd.js"


def test_packages_are_pinned_by_digest_and_name_no_host():
    packages = json.loads(LOCK.read_text())["packages"]
    wanted = json.loads(LOCK.with_name("package.json").read_text())["dependencies"]
    assert packages[""]["dependencies"] == wanted
    assert wanted == {"@niivue/niivue": pinned_version()}
    assert all(entry["integrity"].startswith("sha512-") for name, entry in packages.items() if name)
    assert "resolved" not in LOCK.read_text()


def test_a_machine_without_npm_or_network_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "npm" in install(tmp_path)
    assert list(tmp_path.iterdir()) == []
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\necho no network >&2; exit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(npm.parent))
    assert "no network" in install(tmp_path / "environment")
    npm.write_text("#!/bin/sh\nexit 0\n")
    assert install(tmp_path / "environment") == ""
    copied = (tmp_path / "environment" / FOLDER / "package-lock.json").read_text(encoding="utf-8")
    assert copied == LOCK.read_text(encoding="utf-8")

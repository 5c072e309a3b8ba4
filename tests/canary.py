"""A tiny run on disk, as the workflow lays it out, in which label maps can be poisoned."""

import hashlib
from pathlib import Path

import numpy as np

from parallax.case import Budget, Case, Volume
from parallax.data import store
from parallax.data.frame import to_common
from parallax.learn.job import OK, Job, predict_job, train_job
from parallax.trial.toys import toy_sample, toy_task

TASK = toy_task(2, 3)
SIZE = (16, 16, 16)
LABELLED, UNLABELLED, TEST = ["l0", "l1"], ["u0", "u1"], ["t0"]
BUDGET = Budget(steps=2, batch=2, patch=SIZE, widths=(4, 8), checkpoint_every_s=0.0)


def make_run(root: Path, poisoned: tuple[str, ...] = ()) -> Path:
    """`data/train`, `data/test` and `view`; every class of the cases `poisoned` is another one."""
    for part, cases in (("train", [*LABELLED, *UNLABELLED]), ("test", TEST)):
        folder, frames, held = root / "data" / part, {}, {}
        for name in cases:
            case = _case(name, name in poisoned)
            common = to_common(case, TASK)
            store.write_case(case, folder)
            store.write_arrays(common, name, folder, with_label=part == "train")
            frames[name], held[name] = store.frame_entry(common, case), store.contents(case)
        store.write_json(frames, folder / "frames.json")
        store.write_part(folder, TASK, held, crop=False)
    store.write_train_view(root / "data" / "train", LABELLED, UNLABELLED, root / "view")
    return root


def trained(root: Path, out: Path, method: str, switches, budget: Budget = BUDGET) -> dict[str, str]:
    """Hashes of all that training and prediction of one method leave, by file; its status is in order."""
    job, files = Job(method, switches, seed=3, budget=budget), (out / "cost.json", out / "status.json")
    train_job(job, root / "view", out / "scratch", out / "model", *files)
    assert store.read_json(files[1]) == OK
    told = out / "predict_status.json"
    predict_job(job, root / "data" / "test", out / "model", files[1], out / "predictions", told)
    assert store.read_json(told)["status"] == "ok", store.read_json(told)
    return hashes(out, "model", "predictions")


def hashes(root: Path, *folders: str) -> dict[str, str]:
    """SHA-256 of every file in these folders of `root`, by path."""
    files = sorted(path for folder in folders for path in (root / folder).rglob("*") if path.is_file())
    return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _case(name: str, poisoned: bool) -> Case:
    sample = toy_sample(TASK, name, SIZE)
    label = (sample.label + 1) % TASK.n_classes if poisoned else sample.label
    maps = (sample.image, label.astype(np.uint8))
    images, labels = (
        {m: Volume(values[k], sample.grid.affine) for k, m in enumerate(TASK.modality_names)}
        for values in maps
    )
    return Case(name, images, labels)

"""Crops: reproducible, in register, on the foreground, padded with background."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from toy import toy_sample, toy_task, without_labels

from parallax.case import IGNORE
from parallax.learn.sampler import CropSampler


def sampler(samples, patch=(16, 16, 16), batch=2, augment=False, seed=0, stream=0, paired=True):
    return CropSampler(
        samples, patch=patch, batch=batch, augment=augment, seed=seed, stream=stream, paired=paired
    )


def cases(n=3, size=(24, 24, 24), labelled=True):
    return [toy_sample(toy_task(), f"c{i}", size, labelled=labelled) for i in range(n)]


def coded(size, n=1):
    """Cases whose voxel values tell case, modality and place, so that a crop can be traced back."""
    place = np.arange(np.prod(size), dtype=np.float32).reshape(size)
    samples = []
    for index in range(n):
        image = np.stack([place, place + 0.25]) + np.float32(index * 0.5)
        base = toy_sample(toy_task(), f"c{index}", size)
        samples.append(dataclasses.replace(base, image=image.astype(np.float32)))
    return samples


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("augment", [True, False])
def test_batch_is_a_function_of_seed_stream_and_step(paired, augment):
    a, b = (sampler(cases(), augment=augment, paired=paired) for _ in range(2))
    b.batch(3)  # another history
    first, second = a.batch(7), b.batch(7)
    assert torch.equal(first.image, second.image)
    assert torch.equal(first.label, second.label)
    assert first.cases == second.cases
    assert not torch.equal(first.image, a.batch(8).image)
    for change in ({"seed": 1}, {"stream": 1}):
        other = sampler(cases(), augment=augment, paired=paired, **change).batch(7)
        assert not torch.equal(first.image, other.image)


def test_shapes_and_types():
    batch = sampler(cases()).batch(0)
    assert batch.image.shape == batch.label.shape == (2, 2, 16, 16, 16)
    assert (batch.image.dtype, batch.label.dtype) == (torch.float32, torch.int64)
    assert batch.available.all()
    assert batch.labelled.all()


def test_image_and_label_stay_in_register():
    sample = toy_sample(toy_task(), "c", (20, 12, 40))
    image = sample.label.astype(np.float32)  # every voxel shows its label
    batch = sampler([dataclasses.replace(sample, image=image)], batch=4).batch(1)
    assert torch.equal(batch.image.long(), batch.label)


def test_paired_crops_share_case_and_place_and_unpaired_ones_do_not():
    one = sampler(coded((24, 24, 24), 4)).batch(0)
    assert torch.equal(one.image[:, 1], one.image[:, 0] + 0.25)
    two = sampler(coded((24, 24, 24), 4), paired=False).batch(0)
    assert not torch.equal(two.image[:, 1], two.image[:, 0] + 0.25)
    assert all("+" in name for name in two.cases)


def test_unlabelled_samples_give_no_label():
    batch = sampler(cases(labelled=False)).batch(0)
    assert batch.label is None
    assert not batch.labelled.any()


@pytest.mark.parametrize("size", [(10, 16, 12), (8, 40, 8)])
def test_small_volume_is_padded_with_its_background(size):
    sample = coded(size)[0]
    lowest = sample.image.min(axis=(1, 2, 3))
    batch = sampler([sample]).batch(0)
    outside = batch.image[0, 1] == lowest[1]
    assert outside.any()
    assert batch.label[0, 1][outside].max() == 0
    assert batch.image.min() == lowest[0]


def test_volume_that_fits_is_shifted_when_augmented():
    sample = coded((16, 16, 16))
    plain = sampler(sample).batch(0).image
    assert torch.equal(plain[0], torch.from_numpy(sample[0].image))
    firsts = {sampler(sample, augment=True).batch(step).image[0, 0, 8, 8, 8].item() for step in range(8)}
    assert len(firsts) > 1


def test_half_of_the_crops_show_the_foreground():
    size = (64, 16, 16)
    label = np.zeros((2, *size), dtype=np.uint8)
    label[:, 60, 8, 8] = 1
    sample = dataclasses.replace(toy_sample(toy_task(), "c", size), label=label)
    hits = [[(item == 1).any().item() for item in sampler([sample]).batch(step).label] for step in range(60)]
    random_item, centred_item = np.mean(hits, axis=0)
    assert centred_item == 1.0
    assert random_item < 0.4


def test_absent_and_unlabelled_modalities():
    sample = toy_sample(toy_task(), "c", (8, 8, 8))
    image = sample.image.copy()
    image[1] = 0
    bare = dataclasses.replace(without_labels(sample, 1), image=image, available=(True, False))
    batch = sampler([bare], augment=True).batch(0)
    assert batch.available.tolist() == [[True, False]] * 2
    assert batch.labelled.tolist() == [[True, False]] * 2
    assert batch.image[:, 1].abs().max() == 0
    assert (batch.label[:, 1] == IGNORE).all()


def test_unpaired_draws_only_cases_that_have_the_modality():
    full = toy_sample(toy_task(), "full", (16, 16, 16))
    half = dataclasses.replace(toy_sample(toy_task(), "half", (16, 16, 16)), available=(True, False))
    names = [name for step in range(10) for name in sampler([full, half], paired=False).batch(step).cases]
    assert {name.split("+")[1] for name in names} == {"full"}
    assert {name.split("+")[0] for name in names} == {"full", "half"}


def test_class_counts():
    samples = cases(2)
    wanted = sum(np.bincount(s.label.ravel(), minlength=3) for s in samples)
    assert sampler(samples).class_counts(3).tolist() == wanted.tolist()


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux says which pages are held")
def test_a_case_that_was_looked_at_does_not_stay_in_memory(tmp_path):
    sample = toy_sample(toy_task(), "c", (64, 64, 64))
    mapped = {}
    for kind in ("image", "label"):
        np.save(tmp_path / f"{kind}.npy", getattr(sample, kind))
        mapped[kind] = np.load(tmp_path / f"{kind}.npy", mmap_mode="r")
    sample = dataclasses.replace(sample, **mapped)
    assert np.isfinite(sample.image).all()  # every page is touched
    assert _held_kib(tmp_path / "image.npy") > 1000
    crops = sampler([sample])
    for step in range(4):
        crops.batch(step)
    assert _held_kib(tmp_path / "image.npy") + _held_kib(tmp_path / "label.npy") == 0


def _held_kib(path):
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    for line in lines:
        if line.endswith(str(path)):
            return next(int(row.split()[1]) for row in lines if row.startswith("Rss:"))
    raise AssertionError(f"{path} is not mapped")

"""The training loop: resume to the same bits, groups apart, errors named."""

import dataclasses
import json
from typing import ClassVar

import pytest
import torch
from toy import toy_task, toy_view

from parallax.learn.loop import CLIP, Clock, TrainingError, clip_gradients
from parallax.learn.losses import dice_ce
from parallax.learn.network_method import NetworkMethod
from parallax.learn.networks import UNet, initialised


class Plain(NetworkMethod):
    name, title, source = "plain", "Plain", "test"

    def build(self):
        with initialised(self.seed, "plain"):
            return UNet(2, 3, self.budget.widths)

    def loss(self, net, labelled, unlabelled, clock):
        noisy = labelled.image + 0.1 * torch.randn_like(labelled.image)  # needs the seeded global generator
        return {"dice_ce": dice_ce(net(noisy), labelled.label[:, 0])}

    def logits(self, net, image, available):
        return net(image)[:, None].expand(-1, 2, -1, -1, -1, -1)


class KillError(Exception):
    """Stands for a kill."""


def killed_after(kind, step):
    class Killed(kind):
        def after_step(self, net, clock):
            super().after_step(net, clock)
            if clock.step == step:
                raise KillError

    return Killed


def make(kind, budget, view, **switches):
    return kind(view.task, budget, switches=switches, seed=3)


def weights(method):
    return torch.cat([value.flatten() for value in method.net.state_dict().values()])


def test_resumed_run_has_the_bits_of_an_uninterrupted_one(budget, tmp_path):
    view = toy_view(toy_task())
    straight = make(Plain, budget, view)
    straight.fit(view, tmp_path / "a")
    with pytest.raises(KillError):
        make(killed_after(Plain, 3), budget, view).fit(view, tmp_path / "b")
    kept = (tmp_path / "b" / "checkpoint.pt").stat().st_mtime_ns
    resumed, steps = make(Plain, budget, view), []
    resumed.after_step = lambda net, clock: steps.append(clock.step)
    resumed.fit(view, tmp_path / "b")
    assert kept
    assert steps == [3, 4, 5]  # step 3 was killed before it was kept
    assert torch.equal(weights(straight), weights(resumed))


def test_changed_settings_do_not_resume(budget, tmp_path):
    view = toy_view(toy_task())
    make(Plain, budget, view).fit(view, tmp_path)
    for other, seen in ((budget, view), (dataclasses.replace(budget, steps=7), view)):
        steps = []
        method = make(Plain, other, seen)
        method.after_step = lambda net, clock, steps=steps: steps.append(clock.step)
        method.fit(seen, tmp_path)
        assert len(steps) == (0 if other is budget else 7)
    method = make(Plain, dataclasses.replace(budget, steps=7), toy_view(toy_task(), seed=1))
    method.after_step = lambda net, clock: steps.append(clock.step)
    method.fit(toy_view(toy_task(), seed=1), tmp_path)
    assert len(steps) == 14


def test_cost_and_progress(budget, tmp_path):
    view = toy_view(toy_task())
    method = make(Plain, budget, view)
    cost = method.fit(view, tmp_path)
    assert cost.parameters == sum(p.numel() for p in method.net.parameters())
    assert (cost.steps, cost.samples_seen, cost.device) == (6, 12, "cpu")
    assert cost.train_s > 0
    assert cost.peak_memory_mib > 10
    progress = json.loads((tmp_path / "progress.json").read_text())
    assert (progress["step"], progress["steps"]) == (6, 6)


def test_loss_that_is_not_finite_is_named(budget, tmp_path):
    class Broken(Plain):
        def loss(self, net, labelled, unlabelled, clock):
            terms = super().loss(net, labelled, unlabelled, clock)
            return {**terms, "odd": terms["dice_ce"] * (float("nan") if clock.step == 2 else 1.0)}

    view = toy_view(toy_task())
    with pytest.raises(TrainingError, match="method plain, step 2, term odd"):
        make(Broken, budget, view).fit(view, tmp_path)


def test_nothing_labelled_is_named(budget, tmp_path):
    view = toy_view(toy_task(), n_labelled=0)
    with pytest.raises(TrainingError, match="no labelled case"):
        make(Plain, budget, view).fit(view, tmp_path)


@pytest.mark.parametrize("n_unlabelled", [0, 2])
def test_unlabelled_stream(budget, tmp_path, n_unlabelled):
    seen = []

    class Semi(Plain):
        uses_unlabelled = True

        def loss(self, net, labelled, unlabelled, clock):
            seen.append((unlabelled.label, set(unlabelled.cases)))
            return super().loss(net, labelled, unlabelled, clock)

    view = toy_view(toy_task(), n_unlabelled=n_unlabelled)
    assert make(Semi, budget, view).fit(view, tmp_path).samples_seen == 24
    assert all(label is None for label, _ in seen)
    assert set().union(*(names for _, names in seen)) == ({"u0", "u1"} if n_unlabelled else {"l0", "l1"})


def test_groups_are_clipped_apart_and_scaled(budget, tmp_path):
    class TwoNets(Plain):
        presets: ClassVar = {"paper": {"huge": 1.0, "scale": 1.0}}

        def build(self):
            with initialised(self.seed, "two"):
                return torch.nn.ModuleList([UNet(1, 3, self.budget.widths) for _ in range(2)])

        def parameter_groups(self, net):
            scales = {"lr_scale": self.switches["scale"]}
            return [{"params": list(net[0].parameters())}, {"params": list(net[1].parameters()), **scales}]

        def loss(self, net, labelled, unlabelled, clock):
            a, b = (dice_ce(net[k](labelled.image[:, k : k + 1]), labelled.label[:, k]) for k in (0, 1))
            return {"a": a, "b": b * self.switches["huge"]}

    view = toy_view(toy_task())
    nets = {}
    for huge, scale in ((1.0, 1.0), (1e4, 1.0), (1.0, 0.0)):
        method = make(TwoNets, budget, view, huge=huge, scale=scale)
        method.fit(view, tmp_path / f"{huge}-{scale}")
        nets[huge, scale] = [torch.cat([p.flatten() for p in part.parameters()]) for part in method.net]
    first = nets[1.0, 1.0]
    assert torch.equal(first[0], nets[1e4, 1.0][0])
    assert not torch.equal(first[1], nets[1e4, 1.0][1])
    initial = torch.cat([p.flatten() for p in make(TwoNets, budget, view).build()[1].parameters()])
    assert torch.equal(nets[1.0, 0.0][1], initial)


def test_class_weights_are_set_before_build(budget, tmp_path):
    class Weighted(Plain):
        def build(self):
            assert self.class_weights.mean().item() == pytest.approx(1.0)
            assert self.class_weights[0] < self.class_weights[1]
            return super().build()

    view = toy_view(toy_task())
    make(Weighted, budget, view).fit(view, tmp_path)


def test_bfloat16_trains(budget, tmp_path):
    view = toy_view(toy_task())
    method = make(Plain, dataclasses.replace(budget, precision="bfloat16"), view)
    method.fit(view, tmp_path)
    assert weights(method).isfinite().all()


def test_clock():
    clock = Clock(step=2, steps=8, seed=1)
    assert clock.fraction == 0.25
    draw = torch.rand(2, generator=clock.generator("a"))
    assert torch.equal(draw, torch.rand(2, generator=clock.generator("a")))
    assert not torch.equal(draw, torch.rand(2, generator=clock.generator("b")))
    assert not torch.equal(draw, torch.rand(2, generator=Clock(3, 8, 1).generator("a")))


@pytest.mark.parametrize("norm", [0.0, 0.5 * CLIP, CLIP, 1.5 * CLIP, float("inf"), float("nan")])
def test_gradients_are_clipped_as_pytorch_does_it(norm):
    def parameters():
        first, second, third = (torch.nn.Parameter(torch.zeros(5)) for _ in range(3))
        first.grad = torch.arange(5.0) * norm / torch.arange(5.0).norm()
        second.grad = torch.zeros(5)
        return [first, second, third]

    ours, pytorchs = parameters(), parameters()
    clip_gradients(iter(ours))
    torch.nn.utils.clip_grad_norm_(pytorchs, CLIP)
    for one, other in zip(ours[:2], pytorchs[:2], strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=0, equal_nan=True)
    assert ours[2].grad is None

"""What memory format and precision do to the passes of the network of `supervised`.

Usage: `python benchmarks/passes.py [--device cuda] [--compile]`. As in a run, keep freed memory (see
workflow/rules/common.smk): `MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=4000000000
python benchmarks/passes.py`.

Two crops of 48x48x32, eight classes, one thread; the variants take turns. With `--compile`, `torch.compile`
too, and the seconds until its first step is done.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import torch
from torch import Tensor, nn

from parallax.learn.device import device_name
from parallax.learn.losses import dice_ce
from parallax.learn.networks import UNet

TURNS = 40


@dataclass(frozen=True)
class Variant:
    """A network and what it is given."""

    net: nn.Module
    image: Tensor
    label: Tensor
    bfloat16: bool

    def step(self) -> tuple[float, float, float]:
        """Milliseconds of the forward pass, of the loss, and of the backward pass through both."""
        moments = [self._now()]
        with torch.autocast(self.image.device.type, torch.bfloat16, enabled=self.bfloat16):
            scores = self.net(self.image)
        moments.append(self._now())
        loss = dice_ce(scores, self.label)
        moments.append(self._now())
        loss.backward()  # type: ignore[no-untyped-call]
        moments.append(self._now())
        forward, own, backward = (1000 * (b - a) for a, b in pairwise(moments))
        return forward, own, backward

    def _now(self) -> float:
        if self.image.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter()


def variants(device: str) -> dict[str, Variant]:
    """By memory format and precision."""
    found = {}
    for name, layout, bfloat16 in (
        ("float32", torch.contiguous_format, False),
        ("float32, channels last", torch.channels_last_3d, False),
        ("bfloat16", torch.contiguous_format, True),
        ("bfloat16, channels last", torch.channels_last_3d, True),
    ):
        torch.manual_seed(0)
        net = UNet(1, 8, (16, 32, 64, 128)).train().to(device, memory_format=layout)
        image = torch.randn(2, 1, 48, 48, 32).to(device, memory_format=layout)
        label = torch.randint(0, 8, (2, 48, 48, 32)).to(device)
        found[name] = Variant(net, image, label, bfloat16)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    a = parser.parse_args()
    torch.set_num_threads(1)
    found = variants(a.device)
    if a.compile:
        plain = found["float32"]
        compiled = Variant(torch.compile(plain.net), plain.image, plain.label, bfloat16=False)  # type: ignore[arg-type]
        start = time.perf_counter()
        compiled.step()
        print(f"torch.compile: {time.perf_counter() - start:.0f} s until the first step was done")
        found["float32, compiled"] = compiled
    taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in found}
    for turn in range(TURNS + 5):
        for name, variant in found.items():
            step = variant.step()
            if turn >= 5:
                taken[name].append(step)
    print(f"{device_name(a.device)}, one thread; medians of {TURNS} turns\n")
    print("| network | forward (ms) | loss (ms) | backward (ms) | in all |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, steps in taken.items():
        parts = [median(column) for column in zip(*steps, strict=True)]
        print(f"| {name} | {' | '.join(f'{part:.1f}' for part in (*parts, sum(parts)))} |")


if __name__ == "__main__":
    main()

"""The optimiser: PyTorch's, and what a training does not import for it."""

import subprocess
import sys

import torch

from parallax.learn.optimiser import adamw
from parallax.learn.schedule import ADAM_BETAS

TRAINING = """
import sys, torch
from parallax.learn.device import prepare_torch
from parallax.learn.optimiser import adamw
prepare_torch("cpu", 1)
weights = torch.nn.Linear(2, 1)
optimiser = adamw(weights.parameters(), learning_rate=0.1)
optimiser.zero_grad()
weights(torch.ones(1, 2)).sum().backward()
before = weights.weight.detach().clone()
optimiser.step()
optimiser.load_state_dict(optimiser.state_dict())
print(torch.equal(before, weights.weight), "torch._dynamo" in sys.modules, optimiser.defaults["betas"])
"""


def test_a_training_does_not_wait_for_the_compiler():
    done = subprocess.run([sys.executable, "-c", TRAINING], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "(0.8,", "0.99)"]


def test_it_steps_as_pytorchs_bit_for_bit():
    weights = []
    for make in (adamw, _plain):
        torch.manual_seed(0)
        net = torch.nn.Linear(5, 3)
        optimiser = make(net.parameters(), learning_rate=0.1)
        for _ in range(3):
            optimiser.zero_grad()
            net(torch.randn(4, 5)).square().sum().backward()
            optimiser.step()
        weights.append(net.weight)
    assert torch.equal(*weights)


def _plain(parameters, learning_rate):
    return torch.optim.AdamW(parameters, lr=learning_rate, betas=ADAM_BETAS, weight_decay=0.01, fused=True)

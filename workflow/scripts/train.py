"""Train one method on one view. A method that fails leaves status "failed"; only an interrupt is an error."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path

from parallax.data.seal import check, made_of
from parallax.errors import run_script
from parallax.learn.job import Job, read_budget, reuse_job, train_job
from parallax.learn.limits import Limits
from parallax.run.leases import leased


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", required=True)
    parser.add_argument("--switches", type=json.loads, default={}, help="JSON: switches of the method")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--view", type=Path, required=True)
    parser.add_argument("--budget", required=True, help="JSON text or file")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--cost", type=Path, required=True)
    parser.add_argument("--status", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--reuse", type=Path, help="folder of a run that was trained in the same way")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--devices", type=lambda text: text.split(","), default=[], help="lease one of these")
    parser.add_argument("--gpu-share", type=int, default=1, help="runs that share a GPU")
    parser.add_argument("--limit-s", type=float, help="a training that takes longer has failed")
    parser.add_argument("--limit-mib", type=float, help="one that holds more memory has failed")
    a = parser.parse_args()
    outputs = (a.model, a.cost, a.status)
    if a.reuse:
        reused = [a.reuse / name for name in ("model", "cost.json", "status.json")]
        check(*reused)
        reuse_job(a.reuse, a.model, a.cost, a.status)
        made_of(outputs, *reused)
        return
    check(a.view)
    device = "cuda" if a.devices else a.device
    job = Job(a.method, a.switches, a.seed, read_budget(a.budget), device, a.threads)
    lend = partial(leased, a.method, a.devices, a.gpu_share)
    train_job(job, a.view, a.scratch, a.model, a.cost, a.status, lend, Limits(a.limit_s, a.limit_mib))
    made_of(outputs, a.view)


if __name__ == "__main__":
    run_script(main)

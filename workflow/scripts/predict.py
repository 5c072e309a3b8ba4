"""Segment every test case with one trained method. A failed training is passed on, with an empty folder."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path

from parallax.data.seal import check, made_of
from parallax.errors import run_script
from parallax.learn.job import Job, predict_job, read_budget
from parallax.learn.limits import Limits
from parallax.run.leases import leased


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", required=True)
    parser.add_argument("--switches", type=json.loads, default={}, help="JSON: switches of the method")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--status", type=Path, required=True)
    parser.add_argument("--budget", required=True, help="JSON text or file")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--predict-status", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--devices", type=lambda text: text.split(","), default=[], help="lease one of these")
    parser.add_argument("--gpu-share", type=int, default=1, help="runs that share a GPU")
    parser.add_argument("--test-modalities", choices=["given", "every"], default="given")
    parser.add_argument(
        "--limit-s", type=float, help="a prediction of all cases that takes longer has failed"
    )
    parser.add_argument("--limit-mib", type=float, help="one that holds more memory has failed")
    a = parser.parse_args()
    check(a.data, a.model, a.status)
    device = "cuda" if a.devices else a.device
    job = Job(a.method, a.switches, a.seed, read_budget(a.budget), device, a.threads)
    limits = Limits(a.limit_s, a.limit_mib)
    lend = partial(leased, a.method, a.devices, a.gpu_share)
    every = a.test_modalities == "every"
    predict_job(
        job, a.data, a.model, a.status, a.out, a.predict_status, every_subset=every, lend=lend, limits=limits
    )
    made_of((a.out, a.predict_status), a.data, a.model, a.status)


if __name__ == "__main__":
    run_script(main)

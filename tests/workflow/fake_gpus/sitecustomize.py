"""Makes a Python process believe in two GPUs; found by being on PYTHONPATH. None is needed, and none used.

Training happens on the CPU, and at its third step there is no memory while another run shares the device.
"""

import os
import sys
from pathlib import Path

from parallax.run import devices

devices.find_gpus = lambda: devices.Found(("GPU-made-up-1", "GPU-made-up-2"))

if sys.orig_argv[1].endswith(("train.py", "predict.py")):
    from parallax.learn.job import Job
    from parallax.run import leases

    leases.FOLDER = Path(os.environ["MADE_UP_LEASES"])
    take, make, given = leases.take, Job.make, []

    def remembering(*arguments):
        given.append(take(*arguments))
        return given[-1]

    def made(job, task):
        method = make(job, task)
        from torch.cuda import OutOfMemoryError

        from parallax.learn.loop import _Run

        step = _Run.step

        def stepping(run, clock):
            if clock.step == 2 and given[0].share > 1:
                raise OutOfMemoryError("CUDA out of memory.")
            step(run, clock)

        _Run.step = stepping
        return method

    def on_the_cpu(job):
        from parallax.learn.device import prepare_torch

        return prepare_torch("cpu", 1)

    leases.take, Job.make, Job._device = remembering, made, on_the_cpu

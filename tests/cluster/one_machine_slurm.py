"""A real Slurm on this machine alone: two nodes of one core, in a folder, on free ports, stopped at the end.

Nothing outside the folder is written: no /etc/slurm, no service, no database. The commands of Slurm are
reached through small scripts in `bin/` of the folder, as Snakemake takes `SLURM_CONF` out of the environment
of a job.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from getpass import getuser
from importlib.util import find_spec
from pathlib import Path

import psutil

# command -> Debian package that has it
NEEDED = {"slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client", "munged": "munge"}
COMMANDS = ("sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
NODES = ("n1", "n2")
_MARK = "PARALLAX_SLURM_FOLDER"
_SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

# Two partitions over the same nodes: what is sent to `urgent` preempts what runs in `main`.
_CONF = """\
ClusterName=one-machine
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={ports[0]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
MinJobAge=3600
KillWait=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory={memory_mib} Gres=gpu:1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory={memory_mib} Gres=gpu:1
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=urgent Nodes=n1,n2 MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""
# Slurm grants GPUs that this machine need not have: it counts files.
_GRES = "".join(f"NodeName={node} Name=gpu File=/dev/null\n" for node in NODES)


@dataclass(frozen=True)
class Slurm:
    """A running Slurm: its folder, and the environment in which its commands work."""

    folder: Path
    environment: dict[str, str]

    def ask(self, *command: str) -> str:
        """What a command of Slurm prints. Raises `CalledProcessError`."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    def jobs(self, fields: str) -> list[list[str]]:
        """All jobs since the start, by the fields of `squeue --Format`, separated by `|`."""
        wanted = ",".join(f"{field}:|" for field in fields.split(","))
        text = self.ask("squeue", "--noheader", "--states=all", "--sort=i", f"--Format={wanted}")
        return [line.rstrip("|").split("|") for line in text.splitlines()]


def missing_packages() -> list[str]:
    """Debian packages that have to be installed first."""
    return [package for command, package in NEEDED.items() if not shutil.which(command, path=_SYSTEM_PATH)]


def reason_to_refuse() -> str:
    """Why no Slurm can be started here, with the remedy; empty when one can."""
    if not sys.platform.startswith("linux"):
        return "Slurm runs on Linux only"
    if packages := missing_packages():
        return f"Slurm is not installed: apt-get install --no-install-recommends {' '.join(packages)}"
    if find_spec("snakemake_executor_plugin_slurm") is None:
        return "Snakemake's plugin for Slurm is not installed: pip install -c requirements.lock -e '.[slurm]'"
    return ""


@contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """Start munge, the controller and two nodes in `folder`; stop all of them, whatever happens."""
    running = Slurm(folder, _write(folder))
    try:
        _start(running)
        yield running
    finally:
        _stop(running)


def _write(folder: Path) -> dict[str, str]:
    for name in ("state", "bin", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o711)  # munge refuses a folder that others may write to
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    memory_mib = psutil.virtual_memory().total // 2**20 * 2 // 5
    values = {"host": socket.gethostname().split(".")[0], "user": getuser(), "memory_mib": memory_mib}
    (folder / "slurm.conf").write_text(_CONF.format(folder=folder, ports=_free_ports(3), **values))
    (folder / "gres.conf").write_text(_GRES)
    for command in COMMANDS:
        _wrap(command, folder)
    path = f"{folder}/bin{os.pathsep}{_SYSTEM_PATH}"
    return os.environ | {"PATH": path, "SLURM_CONF": f"{folder}/slurm.conf", _MARK: str(folder)}


def _wrap(command: str, folder: Path) -> None:
    real, script = shutil.which(command, path=_SYSTEM_PATH), folder / "bin" / command
    script.write_text(f'#!/bin/sh\nSLURM_CONF="{folder}/slurm.conf" exec "{real}" "$@"\n')
    script.chmod(0o755)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _start(running: Slurm) -> None:
    folder = running.folder
    munge = [f"--{name}={folder}/munge.{name.split('-')[0]}" for name in ("socket", "key-file", "log-file")]
    munge += [f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/munge.seed", "--force"]
    commands = [["munged", *munge], ["slurmctld"], *(["slurmd", "-N", node] for node in NODES)]
    for command in commands:
        done = subprocess.run(
            command, env=running.environment, capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} did not start: {done.stdout}{done.stderr}")
    _wait_for_nodes(running)


def _wait_for_nodes(running: Slurm, limit_s: float = 30.0) -> None:
    started = time.monotonic()
    while time.monotonic() - started < limit_s:
        with suppress(subprocess.CalledProcessError):  # the controller may not answer yet
            if running.ask("sinfo", "-h", "-p", "main", "-t", "idle", "-o", "%D").strip() == str(len(NODES)):
                return
        time.sleep(0.3)
    logs = [path.read_text(errors="replace")[-1500:] for path in sorted(running.folder.glob("slurm*.log"))]
    raise RuntimeError(
        f"the nodes are not idle after {limit_s:g} s; the ends of the logs:\n" + "\n".join(logs)
    )


def _stop(running: Slurm) -> None:
    """End every process that was started under this Slurm; jobs that wait are not started any more."""
    with suppress(subprocess.SubprocessError, OSError):
        running.ask("scancel", "--state=PENDING", f"--user={getuser()}")
    for kill in (False, True):
        processes = _processes(running.folder)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill() if kill else process.terminate()
        psutil.wait_procs(processes, timeout=10)


def _processes(folder: Path) -> list[psutil.Process]:
    """Daemons, steps and jobs of the Slurm in `folder`: all inherit its mark in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(_MARK) == str(folder) and process.pid != os.getpid():
                found.append(process)
    return found

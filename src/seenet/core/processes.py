"""Processes of a distributed run: who started them, their ranks, and decisions that all of them share."""

import atexit
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from seenet.core.errors import SeenetError, one_line

T = TypeVar("T")

_LOCAL_PROCESSES = "LOCAL_WORLD_SIZE"
"""Environment variable of torchrun and of `adopt_srun`, not of Lightning's launcher: processes on this machine."""

_children: list["subprocess.Popen[Any]"] = []
"""The processes that Lightning's launcher started from this one."""


def rank() -> int:
    """Return this process's rank: of torchrun, srun (after `adopt_srun`) or Lightning's launcher, else 0."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")))


def count_started() -> int:
    """Count the processes that torchrun or srun started for this run; 1 where the command was started alone."""
    return int(os.environ.get(_LOCAL_PROCESSES, "1"))


def _count_srun_tasks() -> int:
    """Count the tasks of the srun that started this process; 1 where none did.

    Batch scripts and interactive shells carry SLURM_NTASKS too, but run one process that no other one joins.
    """
    env = os.environ
    if "SLURM_PROCID" not in env or "SLURM_PTY_PORT" in env:
        return 1
    if "SLURM_STEP_NUM_TASKS" in env:
        return int(env["SLURM_STEP_NUM_TASKS"])
    in_shell = env.get("ENVIRONMENT") == "BATCH" or env.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return 1 if in_shell else int(env.get("SLURM_NTASKS", "1"))


def adopt_srun(devices: int | str) -> None:
    """Give the tasks of one srun the ranks of one distributed run, in torchrun's environment variables.

    Tasks that train on one device each are runs of their own, such as `srun bash -c 'seenet-train fold=$SLURM_PROCID'`.

    Args:
        devices: `trainer.devices` as configured.

    Raises:
        SeenetError: the tasks are spread over several machines.
    """
    env, tasks = os.environ, _count_srun_tasks()
    if devices == 1 or tasks == 1 or "LOCAL_RANK" in env:
        return
    nodes = int(env.get("SLURM_STEP_NUM_NODES", env.get("SLURM_NNODES", "1")))
    if nodes > 1:
        raise SeenetError(f"srun started {tasks} tasks on {nodes} nodes: a run takes one node; use srun --nodes=1")
    job, step = (int(env.get(name, "0")) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    env["RANK"] = env["LOCAL_RANK"] = env["SLURM_PROCID"]
    env["WORLD_SIZE"] = env[_LOCAL_PROCESSES] = str(tasks)
    env.setdefault("MASTER_ADDR", "127.0.0.1")
    env.setdefault("MASTER_PORT", str(15000 + (10 * job + step) % 15000))  # the same for all tasks of a step


def require_devices(devices: int) -> None:
    """Check that torchrun or srun started one process a device.

    Args:
        devices: of the run.

    Raises:
        SeenetError: another number of processes, or several machines.
    """
    if int(os.environ.get("GROUP_WORLD_SIZE", "1")) > 1:
        raise SeenetError("torchrun started processes on several nodes: a run takes one node; use torchrun --nnodes=1")
    started = count_started()
    if started > 1 and started != devices:
        raise SeenetError(
            f"trainer.devices={devices}: {started} processes were started (torchrun or srun); take "
            f"trainer.devices={started}, or start one process"
        )


def connect(on_gpu: bool) -> None:
    """Join the processes that torchrun or srun started, so that they can share decisions before training.

    Args:
        on_gpu: whether the run trains on GPUs.

    Raises:
        SeenetError: the processes do not find each other.
    """
    from torch import distributed

    if count_started() == 1 or distributed.is_initialized():
        return
    try:
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo", rank=rank(), world_size=count_started()
        )
    except (distributed.DistError, ValueError, RuntimeError) as error:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise SeenetError(
            f"the {count_started()} processes of this run cannot connect at {where} ({one_line(error)[:200]}); "
            "set MASTER_PORT to a free port"
        ) from error
    atexit.register(_disconnect)


def _disconnect() -> None:
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def agree(decide: Callable[[], T]) -> T:
    """Let the first process decide and tell the others; alone, decide.

    Args:
        decide: reads or writes files. Called in the first process only, once the processes are connected.

    Returns:
        What the first process decided, in every process.

    Raises:
        SystemExit: in the other processes, where `decide` raises in the first; that one names the error.
    """
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return decide()
    if rank() == 0:
        try:
            box = [(decide(), False)]
        except BaseException:
            distributed.broadcast_object_list([(None, True)], src=0)
            raise
        distributed.broadcast_object_list(box, src=0)
        return box[0][0]
    box: list[Any] = [None]
    distributed.broadcast_object_list(box, src=0)
    value, failed = box[0]
    if failed:
        leave(1)
    return value


def leave(code: int) -> None:
    """End a process that is not the first one.

    Args:
        code: for torchrun and srun. Lightning kills the first process where one that it started ends with another
            code than 0.

    Raises:
        SystemExit: always.
    """
    sys.exit(code if count_started() > 1 else 0)


def note_children(launcher: object) -> None:
    """Remember the processes that a Lightning launcher started, for `end_children`."""
    _children.extend(child for child in getattr(launcher, "procs", ()) if child not in _children)


def end_children() -> None:
    """Kill the processes that Lightning's launcher started: they write no files, and cannot work without this one."""
    for child in _children:
        child.kill()
    _children.clear()


def has_lost_process(error: RuntimeError) -> bool:
    """Whether an error of a collective operation means that another process of the run ended."""
    return count_processes() > 1 and any(library in str(error) for library in ("gloo", "NCCL"))


def count_processes() -> int:
    """Count the processes of this run, however they were started."""
    from torch import distributed

    connected = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if connected else 1


def is_global_rank_zero() -> bool:
    """Whether this is the process that speaks and writes: the first of a distributed run, or the only one."""
    return rank() == 0

"""Processes of a distributed run: launchers, ranks and decisions that rank 0 broadcasts."""

import atexit
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from seenet.core.errors import SeenetError, one_line

T = TypeVar("T")

_LOCAL_WORLD_SIZE = "LOCAL_WORLD_SIZE"
"""Number of processes on this machine; set by torchrun and `adopt_srun_ranks`, not by Lightning's launcher."""

_child_processes: list["subprocess.Popen[Any]"] = []
"""Processes that Lightning's launcher started from this one."""


def get_rank() -> int:
    """Return the rank of this process, or 0 without a launcher.

    torchrun, `adopt_srun_ranks` and Lightning's launcher set it.
    """
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")))


def count_launched_processes() -> int:
    """Return the number of processes that torchrun or srun started, or 1 without them."""
    return int(os.environ.get(_LOCAL_WORLD_SIZE, "1"))


def _count_srun_tasks() -> int:
    """Return the number of tasks of the srun that started this process, or 1 without srun.

    Batch scripts and interactive shells also set SLURM_NTASKS, but they run a single process.
    """
    env = os.environ
    if "SLURM_PROCID" not in env or "SLURM_PTY_PORT" in env:
        return 1
    if "SLURM_STEP_NUM_TASKS" in env:
        return int(env["SLURM_STEP_NUM_TASKS"])
    is_shell = env.get("ENVIRONMENT") == "BATCH" or env.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return 1 if is_shell else int(env.get("SLURM_NTASKS", "1"))


def adopt_srun_ranks(devices: int | str) -> None:
    """Set torchrun's environment variables from srun, which makes its tasks ranks of one run.

    Tasks with one device each stay separate runs, such as `srun bash -c 'seenet-train fold=$SLURM_PROCID'`.

    Args:
        devices: `trainer.devices` as configured.

    Raises:
        SeenetError: the tasks run on several nodes.
    """
    env, tasks = os.environ, _count_srun_tasks()
    if devices == 1 or tasks == 1 or "LOCAL_RANK" in env:
        return
    nodes = int(env.get("SLURM_STEP_NUM_NODES", env.get("SLURM_NNODES", "1")))
    if nodes > 1:
        raise SeenetError(f"srun started {tasks} tasks on {nodes} nodes: a run takes one node; use srun --nodes=1")
    job, step = (int(env.get(name, "0")) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    env["RANK"] = env["LOCAL_RANK"] = env["SLURM_PROCID"]
    env["WORLD_SIZE"] = env[_LOCAL_WORLD_SIZE] = str(tasks)
    env.setdefault("MASTER_ADDR", "127.0.0.1")
    env.setdefault("MASTER_PORT", str(15000 + (10 * job + step) % 15000))  # equal in all tasks of a step


def check_process_count(devices: int) -> None:
    """Check that torchrun or srun started one process per device.

    Args:
        devices: the number of devices of the run.

    Raises:
        SeenetError: the number of processes differs, or they run on several nodes.
    """
    if int(os.environ.get("GROUP_WORLD_SIZE", "1")) > 1:
        raise SeenetError("torchrun started processes on several nodes: a run takes one node; use torchrun --nnodes=1")
    launched = count_launched_processes()
    if launched > 1 and launched != devices:
        raise SeenetError(
            f"trainer.devices={devices}: {launched} processes were started (torchrun or srun); set "
            f"trainer.devices={launched}, or start one process"
        )


def connect_processes(on_gpu: bool) -> None:
    """Initialise the process group of torchrun or srun, for decisions before training.

    Args:
        on_gpu: whether the run trains on GPUs.

    Raises:
        SeenetError: the processes cannot connect.
    """
    from torch import distributed

    if count_launched_processes() == 1 or distributed.is_initialized():
        return
    try:
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo", rank=get_rank(), world_size=count_launched_processes()
        )
    except (distributed.DistError, ValueError, RuntimeError) as error:
        address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise SeenetError(
            f"the {count_launched_processes()} processes of this run cannot connect at {address} "
            f"({one_line(error)[:200]}); set MASTER_PORT to a free port"
        ) from error
    atexit.register(_disconnect)


def _disconnect() -> None:
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def decide_on_rank_zero(decide: Callable[[], T]) -> T:
    """Call a function on rank 0 and broadcast its result; without a process group, only call it.

    Args:
        decide: reads or writes files. Only rank 0 calls it if the processes are connected.

    Returns:
        The result of `decide` on rank 0, in every process.

    Raises:
        SystemExit: on the other ranks, if `decide` raises on rank 0, which reports the error.
    """
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return decide()
    if get_rank() == 0:
        try:
            result = decide()
        except BaseException:
            distributed.broadcast_object_list([(None, True)], src=0)
            raise
        distributed.broadcast_object_list([(result, False)], src=0)
        return result
    message: list[Any] = [None]
    distributed.broadcast_object_list(message, src=0)
    value: T
    value, has_failed = message[0]
    if has_failed:
        exit_process(1)
    return value


def exit_process(code: int) -> None:
    """Exit a process with a rank other than 0.

    Args:
        code: the exit code for torchrun and srun. Lightning kills rank 0 if a process that it launched exits with a
            code other than 0; such a process exits with 0.

    Raises:
        SystemExit: always.
    """
    sys.exit(code if count_launched_processes() > 1 else 0)


def register_child_processes(launcher: object) -> None:
    """Record the processes that a Lightning launcher started, for `kill_child_processes`."""
    _child_processes.extend(process for process in getattr(launcher, "procs", ()) if process not in _child_processes)


def kill_child_processes() -> None:
    """Kill the processes that Lightning's launcher started.

    They write no files and depend on this process.
    """
    for process in _child_processes:
        process.kill()
    _child_processes.clear()


def has_lost_process(error: RuntimeError) -> bool:
    """Return whether an error of a collective operation means that another process ended."""
    return count_processes() > 1 and any(library in str(error) for library in ("gloo", "NCCL"))


def count_processes() -> int:
    """Return the number of processes of this run, independent of the launcher."""
    from torch import distributed

    is_connected = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if is_connected else 1


def is_global_rank_zero() -> bool:
    """Return whether this process is rank 0, which prints and writes files."""
    return get_rank() == 0

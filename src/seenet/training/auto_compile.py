"""`trainer.compile=auto`: whether torch.compile saves time on this machine."""

from dataclasses import replace

from seenet.core.console import print_line
from seenet.core.errors import SeenetError, one_line
from seenet.runs.identity import EQUIVALENT_OPTIONS
from seenet.runs.results import read_object, write_json
from seenet.training.experiment import Experiment
from seenet.training.probing import probe

COMPILE_DECISION_FILE = (
    "compile.json"  # in a run's folder: whether torch.compile pays for it, on which device and with what
)


MIN_SECONDS_FOR_COMPILE = 300.0  # seconds of training that are left, below which compilation is not even tried


def resolve_compile(job: Experiment) -> Experiment:
    """The job with `trainer.compile=auto` settled: compiled where a few steps are faster so.

    A short training is not compiled, for compiling takes a minute or more. Compilation that fails is said, and the
    training goes on without. What was measured is kept in the run's folder, so that a training that goes on there goes
    on as it began; another device or way to compute the backbone is tried anew.
    """
    if job.plan.compile != "auto":
        return job
    without, compiled = (replace(job, plan=replace(job.plan, compile=value)) for value in (False, True))
    kept, backbone = job.run.folder / COMPILE_DECISION_FILE, job.config["backbone"]
    measured_on = {"device": job.plan.device_name(), **{name: backbone.get(name) for name in EQUIVALENT_OPTIONS}}
    found = read_object(kept, ("compile", "measured_on"))
    if found is not None and found["measured_on"] == measured_on:
        return compiled if found["compile"] else without
    left = job.folds_to_train()
    plain = probe(without)
    seconds = plain.seconds(job, left)
    if seconds < MIN_SECONDS_FOR_COMPILE:
        return without
    try:
        fused = probe(compiled, plain.steps)
    except (RuntimeError, SeenetError) as error:  # no compiler here, or one that cannot, or a backbone without
        why = one_line(error)[:200]  # a compiler's are pages long
        print_line(f"trainer.compile=auto: torch.compile fails here ({why}); training goes on without it")
        return without
    saved = seconds - fused.seconds(job, left)  # what compiling took is spent: later folds of this process find it
    verdict = f"saves {saved:.0f} s" if saved > 0 else "does not pay"
    print_line(f"trainer.compile=auto: torch.compile {verdict} of about {seconds:.0f} s")
    write_json(kept, {"compile": saved > 0, "measured_on": measured_on})
    return compiled if saved > 0 else without

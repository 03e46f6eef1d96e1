"""`trainer.compile=auto`: whether torch.compile saves time on this machine."""

from dataclasses import replace

from seenet.core.console import print_line
from seenet.core.errors import SeenetError, one_line
from seenet.runs.identity import EQUIVALENT_OPTIONS
from seenet.runs.results import read_object, write_json
from seenet.training.cached_parts import reads_cache
from seenet.training.components import is_fitted
from seenet.training.experiment import Experiment
from seenet.training.probing import probe

COMPILE_DECISION_FILE = (
    "compile.json"  # in the folder of a run: whether torch.compile saves time, on which device and with which options
)


MIN_SECONDS_FOR_COMPILE = 300.0  # remaining seconds of training below which compilation is not tried


def resolve_compile(experiment: Experiment) -> Experiment:
    """Return the experiment with `trainer.compile=auto` resolved: compiled if a few steps are faster.

    A short training is not compiled: compilation takes a minute or more. A failed compilation is printed, and the
    training continues without it. The decision is stored in the folder of the run, so a resumed training follows it;
    another device or other options of the backbone are measured again.
    """
    if experiment.trainer.compile != "auto":
        return experiment
    if is_fitted(experiment.config) or reads_cache(experiment):
        return replace(experiment, trainer=replace(experiment.trainer, compile=False))
    without, compiled = (
        replace(experiment, trainer=replace(experiment.trainer, compile=value)) for value in (False, True)
    )
    kept, backbone = experiment.run.folder / COMPILE_DECISION_FILE, experiment.config["backbone"]
    measured_on = {
        "device": experiment.trainer.device_name(),
        **{name: backbone.get(name) for name in EQUIVALENT_OPTIONS},
    }
    found = read_object(kept, ("compile", "measured_on"))
    if found is not None and found["measured_on"] == measured_on:
        return compiled if found["compile"] else without
    left = experiment.folds_to_train()
    plain = probe(without)
    seconds = plain.seconds(experiment, left)
    if seconds < MIN_SECONDS_FOR_COMPILE:
        return without
    try:
        fused = probe(compiled, plain.steps)
    except (RuntimeError, SeenetError) as error:  # no compiler, one that fails, or a backbone that cannot be compiled
        why = one_line(error)[:200]  # compiler errors are pages long
        print_line(f"trainer.compile=auto: torch.compile fails here ({why}); training continues without it")
        return without
    saved = seconds - fused.seconds(
        experiment, left
    )  # the compilation itself does not count: later folds of this process reuse it
    verdict = f"saves {saved:.0f} s" if saved > 0 else "does not pay"
    print_line(f"trainer.compile=auto: torch.compile {verdict} of about {seconds:.0f} s")
    write_json(kept, {"compile": saved > 0, "measured_on": measured_on})
    return compiled if saved > 0 else without

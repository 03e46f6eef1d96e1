"""The number of epochs, UA and temperature that `protocol=final` takes from a finished cross-validation."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from seenet.core.console import print_line
from seenet.core.errors import SeenetError
from seenet.corpora.protocols import Final
from seenet.runs.bundle import MODEL_JSON
from seenet.runs.results import read_object, read_trained

if TYPE_CHECKING:
    from seenet.corpora.folds import Folds
    from seenet.training.experiment import Experiment


@dataclass(frozen=True)
class CrossValidation:
    """A finished cross-validation.

    Attributes:
        run: the name of its folder.
        best_epochs: best epoch of each training, from 1.
        ua: mean over the folds of UA in clean conditions; None if a fold has no such result.
        temperature: median of the folds' calibration temperatures; None if no fold has one.
        c: median of the folds' C of a fitted head; None if the head is trained in epochs.
    """

    run: str
    best_epochs: tuple[int, ...]
    ua: float | None
    temperature: float | None
    c: float | None = None

    @property
    def epochs(self) -> int:
        """The median of the best epochs, rounded up."""
        return math.ceil(statistics.median(self.best_epochs))

    def to_json(self) -> dict[str, Any]:
        """Return the attributes, for model.json."""
        return asdict(self)


def resolve_epochs(experiment: "Experiment", protocol: Final, folds: "Folds") -> "Experiment":
    """Return an experiment under `Final` with its number of epochs and without test conditions.

    Args:
        experiment: the experiment; its settings apart from the protocol are those of the cross-validation.
        protocol: of the experiment.
        folds: of the cross-validation.

    Raises:
        SeenetError: a fold of the cross-validation is not trained, or the number is more than `trainer.max_epochs`.
    """
    node, found, epochs = experiment.config["protocol"], None, protocol.epochs
    if epochs == "cv":
        strict_class = type(protocol.cross_validation)
        settings = {key: value for key, value in node.items() if key != "epochs"}
        settings |= {"_target_": f"{strict_class.__module__}.{strict_class.__qualname__}", "name": "strict"}
        found = _read_cross_validation(
            replace(
                experiment,
                config={**experiment.config, "protocol": settings},
                protocol=protocol.cross_validation,
                folds=folds,
                chosen=list(range(len(folds))),
            )
        )
        epochs = found.epochs if found.c is None else 1
        _print_summary(found)
    elif "c" in experiment.config["head"]:
        raise SeenetError(f"protocol.epochs={epochs}: head={experiment.config['head']['name']} has no epochs; take cv")
    if epochs > experiment.trainer.max_epochs:
        raise SeenetError(
            f"protocol.epochs={epochs}: expected at most trainer.max_epochs={experiment.trainer.max_epochs}"
        )
    config = {**experiment.config, "protocol": {**node, "epochs": epochs}}
    return replace(experiment, config=config, epochs=epochs, cross_validation=found, conditions={})


def _read_cross_validation(experiment: "Experiment") -> CrossValidation:
    # Folds may share a training.
    found = {folder: read_trained(folder) for folder in map(experiment.fold_folder, experiment.chosen)}
    missing = [folder.name for folder, record in found.items() if record is None]
    if missing:
        raise SeenetError(
            f"protocol=final takes its number of epochs from a cross-validation, and {_join_names(missing)} of "
            f"'{experiment.run.folder}' {'is' if len(missing) == 1 else 'are'} not trained; run the same command with "
            "protocol=strict first, or give protocol.epochs=NUMBER"
        )
    models = [read_object(folder / MODEL_JSON, ("temperature",)) for folder in found]
    temperatures = [model["temperature"] for model in models if model and model["temperature"] is not None]
    strengths = [record["fitted_head"]["c"] for record in found.values() if record and "fitted_head" in record]
    results = [experiment.results(number).get("clean") for number in experiment.chosen]
    return CrossValidation(
        run=experiment.run.folder.name,
        best_epochs=tuple(record["best_epoch"] for record in found.values() if record and record["best_epoch"]),
        ua=statistics.mean(result["metrics"]["ua"] for result in results if result) if all(results) else None,
        temperature=statistics.median(temperatures) if temperatures else None,
        c=statistics.median_low(strengths) if strengths else None,
    )


def _print_summary(found: CrossValidation) -> None:
    ua = "" if found.ua is None else f", mean UA {100 * found.ua:.1f} %"
    chosen = f"C {found.c:g}" if found.c else f"best epochs {', '.join(map(str, found.best_epochs))}"
    print_line(f"cross-validation {found.run}: {chosen}{ua}")


def _join_names(names: Sequence[str], shown: int = 5) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")

"""The bundle: a trained model as two files that need no corpus, no network and no original checkpoint.

`model.safetensors` holds the tensors, `model.json` everything else (docs/results.md). Where folds share a frozen
encoder, `encoder.safetensors` holds its tensors: one file on disk, which each fold's folder links.
"""

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seenet import __version__
from seenet.audio.reading import RATE
from seenet.core.atomic import atomic_path
from seenet.core.errors import SeenetError, one_line
from seenet.runs.results import read_dev_probabilities, read_object, write_json

if TYPE_CHECKING:
    from seenet.models.classifier import EmotionClassifier
    from seenet.models.factory import ModelSpec

MODEL_JSON, TENSORS, ENCODER = "model.json", "model.safetensors", "encoder.safetensors"

SCHEMA, SCHEMA_WITH_ENCODER = 1, 2
"""Versions of model.json: without and with a file of the frozen encoder."""

_KEYS = ("schema", "seenet", "model", "sampling_rate", "max_seconds", "temperature", "training")


@dataclass(frozen=True)
class Bundle:
    """A trained model, loaded.

    Attributes:
        classifier: in evaluation mode, on the CPU.
        classes: the emotions in the order of the probabilities.
        sampling_rate: of its input, in Hz.
        max_seconds: longest excerpt that it was trained on, in seconds.
        temperature: that calibrates the probabilities (Guo et al. 2017), fitted on the development part; None where no
            part was left to fit it on.
        training: corpus, protocol, fold, seed, epoch and checkpoint that it comes from.
    """

    classifier: "EmotionClassifier"
    classes: tuple[str, ...]
    sampling_rate: int
    max_seconds: float
    temperature: float | None
    training: Mapping[str, Any]


def fit_dev_temperature(path: Path, classes: Sequence[str]) -> float | None:
    """Return the temperature that fits the predictions of a development part; None where there are none.

    Args:
        path: a dev_predictions.csv.
        classes: names in their order.
    """
    from seenet.evaluation.calibration import fit_temperature

    found = read_dev_probabilities(path, classes)
    return None if found is None else fit_temperature(*found)


def write_bundle(
    folder: Path,
    classifier: "EmotionClassifier",
    spec: "ModelSpec",
    max_seconds: float,
    temperature: float | None,
    training: Mapping[str, Any],
    shared: Collection[str] = (),
) -> None:
    """Write a trained classifier; model.json comes last and marks the bundle as complete.

    Args:
        folder: of the training.
        classifier: with the weights of the best epoch.
        spec: its description.
        max_seconds: longest excerpt of a clip that it was trained on, in seconds.
        temperature: see `Bundle`.
        training: see `Bundle`.
        shared: names of the tensors that are equal in every fold of the run, whose folder holds `folder`.

    Raises:
        SeenetError: the files cannot be written.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in classifier.state_dict().items()}
    common = {name: tensors.pop(name) for name in shared if name in tensors}
    if common:
        encoder = folder.parent / ENCODER
        if not encoder.is_file():
            _write_tensors(encoder, common)
        _link(encoder, folder / ENCODER)
    _write_tensors(folder / TENSORS, tensors)
    value = {
        "schema": SCHEMA_WITH_ENCODER if common else SCHEMA,
        "seenet": __version__,
        "model": spec.portable(classifier).to_json(),
        "sampling_rate": RATE,
        "max_seconds": max_seconds,
        "temperature": temperature,
        "training": dict(training),
    }
    write_json(folder / MODEL_JSON, value)


def _write_tensors(path: Path, tensors: Mapping[str, Any]) -> None:
    from safetensors.torch import save

    with atomic_path(path) as building:
        building.write_bytes(
            save(dict(tensors))
        )  # an OSError of Python names a full disk; safetensors has its own type


def _link(source: Path, target: Path) -> None:
    """Link a file under a second name; a file system without links gets a copy."""
    with atomic_path(target) as building:
        try:
            os.link(source, building)
        except OSError:
            shutil.copyfile(source, building)


def load_bundle(folder: Path) -> Bundle:
    """Load the bundle in a folder.

    Raises:
        SeenetError: no bundle, one of a later schema, or a damaged one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from seenet.models.backbones.pretrained_weights import Weights
    from seenet.models.factory import ModelSpec, build_classifier

    if not folder.is_dir():
        raise SeenetError(f"'{folder}' is not a folder; give the folder of a trained fold, e.g. outputs/<run>/fold0")
    value = read_object(folder / MODEL_JSON, _KEYS)
    if value is None:
        present = (folder / MODEL_JSON).is_file()
        raise SeenetError(
            f"'{folder / MODEL_JSON}' is {'damaged' if present else 'missing'}; give the folder of a trained fold, or "
            "run its seenet-train command again with another noise condition, which writes the model"
        )
    if value["schema"] not in (SCHEMA, SCHEMA_WITH_ENCODER):
        raise SeenetError(
            f"'{folder / MODEL_JSON}' has schema {value['schema']}, and seenet {__version__} "
            f"reads {SCHEMA} and {SCHEMA_WITH_ENCODER}; install seenet {value['seenet']} or later"
        )
    try:
        spec = ModelSpec.from_json(value["model"])
        classifier = build_classifier(spec, Weights(None))
        tensors = load_file(folder / TENSORS)
        if value["schema"] == SCHEMA_WITH_ENCODER:
            tensors |= load_file(folder / ENCODER)
        classifier.load_state_dict(tensors)
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError) as error:
        raise SeenetError(f"the model in '{folder}' cannot be loaded: {one_line(error)[:300]}") from error
    classifier.eval()
    return Bundle(
        classifier,
        spec.classes,
        value["sampling_rate"],
        value["max_seconds"],
        value["temperature"],
        value["training"],
    )

"""The folder of a run: its name, its trainings and the folders of their results."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seenet.corpora.folds import PlannedFold
from seenet.runs.identity import augmentation_steps, digest, training_identity


def names_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the choice of each group, by which a run is named; augmentations are joined by `+`."""
    copies = config["aug"].get("copies")
    aug = "+".join(augmentation_steps(config["aug"])) + (f"_copies{copies}" if copies else "")
    groups = ("backbone", "pooling", "aux_task", "head", "tune", "loss", "schedule", "protocol")
    return {"aug": aug, **{group: config[group]["name"] for group in groups}}


def main_choices(names: Mapping[str, str]) -> list[str]:
    """Return the choices that name a run: head and tuning mode only where they differ from the paper's.

    Args:
        names: from `names_of`, or a result.
    """
    head, tune = names.get("head", "linear"), names.get("tune", "all")
    own = [f"{head}_head"] * (head != "linear") + [f"tune_{tune}"] * (tune != "all")
    return [names["backbone"], *own, *(names[group] for group in ("aug", "aux_task", "protocol"))]


@dataclass(frozen=True)
class RunDirectory:
    """All folds of one configuration and seed.

    Attributes:
        folder: of the run.
        base: the identity, without the fold.
        selection: the part that selects the epoch: `dev`, `test` or `none`.
    """

    folder: Path
    base: Mapping[str, Any]
    selection: str

    @classmethod
    def of(
        cls, output_dir: Path, corpus: str, config: Mapping[str, Any], content: Mapping[str, Any], selection: str
    ) -> "RunDirectory":
        """Describe the run of a resolved configuration.

        Args:
            output_dir: holds the folders of all runs.
            corpus: the name of what is trained on.
            config: the resolved configuration.
            content: as of `training_identity`.
            selection: the part that selects the epoch.
        """
        base = training_identity(config, content)
        chosen = [choice.replace(":", "") for choice in main_choices(names_of(config))]
        return cls(output_dir / "-".join([corpus, *chosen, f"seed{config['seed']}", digest(base)]), base, selection)

    def training_name(self, fold: PlannedFold, test_hash: str) -> str:
        """Name the training of a fold, and its folder in the run; folds with the same training have the same name.

        Folds that share training and development part are known by their test part, not by their number, which moves
        when another test part is added.

        Args:
            fold: the fold.
            test_hash: of its test clips, which select the epoch where `selection` is `test`.
        """
        if not fold.shared:
            return f"fold{fold.number}"
        return "fold0" if self.selection == "dev" else f"fold-{folder_name(fold.name)}-{test_hash[:6]}"

    def run_id(self, training: str) -> str:
        """Return the hash that identifies a training of the run, by its name."""
        return digest({**self.base, "training": training})

    def test_folder(self, fold: PlannedFold, training: str, condition: str, settings: Mapping[str, object]) -> Path:
        """Return the folder of a fold's result under one test condition.

        Args:
            fold: the fold.
            training: the name of its training.
            condition: the name of the condition.
            settings: tell the condition from others of that name.
        """
        name = condition + (f"-{digest(settings)}" if settings else "")
        is_one_of_several = fold.shared and self.selection == "dev"
        return self.folder / training / (f"{name}-{folder_name(fold.name)}" if is_one_of_several else name)


def folder_name(text: str) -> str:
    """Return a text as a folder's name of letters, digits and `_.+-`, with a hash if others were replaced."""
    kept = re.sub(r"[^\w.+-]", "_", text)[:80]
    return kept if kept == text else f"{kept}-{digest(text)[:6]}"

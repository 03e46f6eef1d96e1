"""The environment of a result: package versions and the commit."""

import importlib.metadata
import subprocess

from seenet import __version__
from seenet.core.paths import conf_dir

RECORDED = (
    *("torch", "torchaudio", "transformers", "lightning", "torchmetrics"),
    *("hydra-core", "omegaconf", "numpy", "scikit-learn", "soxr", "soundfile"),
)


def versions() -> dict[str, str]:
    """Return the versions of seenet and of the packages that affect a result."""
    return {"seenet": __version__, **{name: importlib.metadata.version(name) for name in RECORDED}}


def git_commit() -> str | None:
    """Return the commit of the checkout, with `-dirty` if files differ; None for an installed wheel."""
    root = conf_dir().parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # git is missing, or there is no commit yet
        return None

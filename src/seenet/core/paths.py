"""Locations of the configuration folder and of the cache folder."""

import os
from pathlib import Path


def conf_dir() -> Path:
    """Return the folder of YAML files: that of the installed package, else of the checkout."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parents[1] / "conf"


def cache_dir() -> Path:
    """Return the folder for rebuildable files: `SEENET_CACHE`, else the user's cache folder."""
    if "SEENET_CACHE" in os.environ:
        return Path(os.environ["SEENET_CACHE"]).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "seenet"

"""Where things are: the configuration, the cache, the corpora."""

import os
from pathlib import Path


def conf_dir() -> Path:
    """The folder of YAML files: the wheel's own copy, else the checkout's."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parents[1] / "conf"


def cache_dir() -> Path:
    """The folder for what can be made again: `SEENET_CACHE`, else the user's cache folder."""
    if "SEENET_CACHE" in os.environ:
        return Path(os.environ["SEENET_CACHE"]).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "seenet"

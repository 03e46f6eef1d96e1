"""Location of the weights of a backbone: a local folder, the cache of the hub, or the hub.

This module imports neither torch nor transformers, which reports mistakes early. transformers itself retries an
unreachable network for half a minute and then prints a long traceback.
"""

import hashlib
import json
import threading
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import HFValidationError

from seenet.core.atomic import atomic_write_text
from seenet.core.errors import SeenetError, one_line
from seenet.core.paths import cache_dir
from seenet.corpora.clip_decoder import hash_file

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
HUB_TIMEOUT_SECONDS = 2.5
FOREIGN_FILES = ("tf_model.h5", "flax_model.msgpack")
LFS_HEADER = b"version https://git-lfs"


@dataclass(frozen=True)
class Weights:
    """Source of the weights of a backbone.

    Attributes:
        source: a local folder, a name on the hub, or None for random weights.
        revision: revision of the name on the hub.
        cached: whether to load without the network.
        fingerprint: a hash of the content of the folder, the commit on the hub, or "random".
    """

    source: str | None
    revision: str | None = None
    cached: bool = True
    fingerprint: str = "random"

    def describe(self) -> dict[str, str | None]:
        """Return checkpoint, commit on the hub and SHA-256 of the weight files for a result."""
        if self.source is None:
            return {"checkpoint": None, "revision": None, "hash": None}
        local = Path(self.source).expanduser()
        if local.is_dir():
            folder, commit = local.resolve(), None
        else:
            commit = self.fingerprint
            folder = Path(str(_find_cached_file(self.source, "config.json", self.revision))).parent
        digests = _content_digests(folder, _find_weight_files(folder))
        combined = digests[0] if len(digests) == 1 else hashlib.sha256("-".join(digests).encode()).hexdigest()[:32]
        return {"checkpoint": self.source, "revision": commit, "hash": combined}


def _find_cached_file(checkpoint: str, name: str, revision: str | None) -> str | None:
    """Return the path of a file in the cache of the hub, or None."""
    found = huggingface_hub.try_to_load_from_cache(checkpoint, name, revision=revision)
    return found if isinstance(found, str) else None


def _find_weight_files(folder: Path) -> list[Path]:
    """Return the files that transformers loads: one file, or the shards of an index.

    Raises:
        SeenetError: there is no weight file, the index is damaged, or a shard is missing.
    """
    main = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if main is None:
        foreign = [name for name in FOREIGN_FILES if (folder / name).is_file()]
        advice = (
            f"; convert {foreign[0]} with transformers 4 (from_tf=True or from_flax=True, then save_pretrained)"
            if foreign
            else ""
        )
        raise SeenetError(
            f"backbone.path='{folder}' contains no weights; expected one of {', '.join(WEIGHT_FILES)}{advice}"
        )
    if main.suffix != ".json":
        return [main]
    _refuse_unusable_files(folder, [main])
    try:
        names = sorted(set(json.loads(main.read_text(encoding="utf-8"))["weight_map"].values()))
        shards = [folder / name for name in names]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SeenetError(
            f"backbone.path='{folder}': {main.name} is damaged ({one_line(error)}); download it again"
        ) from error
    absent = [shard.name for shard in shards if not shard.is_file()]
    if absent:
        raise SeenetError(
            f"backbone.path='{folder}' lacks {len(absent)} of the {len(shards)} files that {main.name} lists: "
            f"{', '.join(absent[:3])}; download them"
        )
    return shards


def _refuse_unusable_files(folder: Path, files: list[Path]) -> None:
    """Raise a SeenetError for Git LFS pointers and empty files."""
    for file in files:
        with file.open("rb") as opened:
            head = opened.read(len(LFS_HEADER))
        if head == LFS_HEADER:
            raise SeenetError(
                f"backbone.path='{folder}': {file.name} is a Git LFS pointer, not the content of the file; "
                "run 'git lfs install' and 'git lfs pull' there, or download the file"
            )
        if not head:
            raise SeenetError(f"backbone.path='{folder}': {file.name} is empty (0 bytes); download it again")


def _is_hub_reachable() -> bool:
    """Return whether the hub answers in time, from a thread because DNS has no timeout."""
    answered = threading.Event()

    def request() -> None:
        try:
            huggingface_hub.get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT_SECONDS)
        except Exception:  # every network failure means that the hub is unreachable
            return
        answered.set()

    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(HUB_TIMEOUT_SECONDS)
    return answered.is_set()


def _content_digests(folder: Path, files: list[Path]) -> list[str]:
    """Return a hash of each file, computed again only if its size or modification time changed."""
    name = hashlib.blake2b(str(folder).encode(), digest_size=8).hexdigest()
    cache = cache_dir() / "fingerprints" / f"{name}.json"
    known = json.loads(cache.read_text()) if cache.is_file() else {}
    current = {}
    for path in files:
        status = [path.stat().st_size, path.stat().st_mtime_ns]
        entry = known.get(path.name)
        current[path.name] = entry if entry and entry[:2] == status else [*status, hash_file(path)]
    if current != known:
        atomic_write_text(cache, json.dumps(current))
    return [str(digest) for _, _, digest in current.values()]


def _resolve_local_folder(path: str, family: str) -> Weights:
    """Check a local folder and return its weights with the fingerprint of its files."""
    folder = Path(path).expanduser()
    config = folder / "config.json"
    if folder.is_file():
        raise SeenetError(
            f"backbone.path='{path}' is a file; expected a folder of save_pretrained. A best.ckpt of seenet contains "
            "an emotion classifier, not a backbone"
        )
    if not config.is_file():
        raise SeenetError(
            f"backbone.path='{path}' is not a folder with a config.json; expected a folder of save_pretrained"
        )
    _refuse_unusable_files(folder, [config])
    try:
        found = json.loads(config.read_text(encoding="utf-8"))["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise SeenetError(f"backbone.path='{path}': its config.json has no model_type ({error!r})") from error
    if found != family:
        raise SeenetError(f"backbone.path='{path}' contains a {found} model, not {family}; choose that backbone")
    weights = _find_weight_files(folder)
    _refuse_unusable_files(folder, weights)
    files = sorted([*weights, config])
    fingerprint = "-".join(digest[:8] for digest in _content_digests(folder.resolve(), files))
    return Weights(str(folder), fingerprint=fingerprint)


def resolve_weights(
    family: str, checkpoint: str | None = None, revision: str | None = None, path: str | None = None
) -> Weights:
    """Resolve the source of weights: the local folder, else the cache of the hub, else the hub.

    Args:
        family: expected model type.
        checkpoint: a name on the hub; None without a path means random weights.
        revision: branch, tag or commit of the name.
        path: a local folder of `save_pretrained`; takes precedence over `checkpoint`.

    Raises:
        SeenetError: the weights do not exist, have another family, or are not cached while the hub is unreachable.
    """
    if path is not None:
        return _resolve_local_folder(str(path), family)
    if checkpoint is None:
        return Weights(None)

    try:
        config = _find_cached_file(checkpoint, "config.json", revision)
    except HFValidationError as error:
        raise SeenetError(
            f"backbone.checkpoint='{checkpoint}' is no valid name on the hub: {one_line(error)}"
        ) from error
    if config and any(_find_cached_file(checkpoint, name, revision) for name in WEIGHT_FILES):
        return Weights(checkpoint, revision, cached=True, fingerprint=Path(config).parent.name)
    advice = "connect to the network once, set backbone.path=FOLDER, or choose random weights, e.g. backbone=wavlm_tiny"
    if constants.HF_HUB_OFFLINE:
        raise SeenetError(f"the weights of '{checkpoint}' are not on this machine and HF_HUB_OFFLINE is set; {advice}")
    if not _is_hub_reachable():
        raise SeenetError(
            f"the weights of '{checkpoint}' are not on this machine and {constants.ENDPOINT} does not answer; {advice}"
        )
    try:
        commit = huggingface_hub.HfApi().model_info(checkpoint, revision=revision, timeout=HUB_TIMEOUT_SECONDS).sha
    except Exception as error:  # the base class of errors differs between versions of the hub client
        failure = f"the hub does not provide '{checkpoint}' (revision {revision})"
        raise SeenetError(f"{failure}: {one_line(error)}; {advice}") from error
    return Weights(checkpoint, revision=commit, cached=False, fingerprint=str(commit))

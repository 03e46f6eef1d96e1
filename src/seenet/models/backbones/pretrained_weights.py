"""Whether a backbone's weights can be had, found out before anything heavy is imported.

transformers by itself retries a dead network for half a minute and then prints a page.
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
from seenet.corpora.store_builder import file_digest

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
HUB_TIMEOUT_SECONDS = 2.5  # seconds to wait for the hub
FOREIGN_FILES = ("tf_model.h5", "flax_model.msgpack")
LFS_HEADER = b"version https://git-lfs"


@dataclass(frozen=True)
class Weights:
    """Where a backbone's weights come from.

    Attributes:
        source: a local folder, a name on the hub, or None for random weights.
        revision: of the name on the hub.
        cached: load without asking the network.
        fingerprint: a hash of the folder's content, the hub's commit, or "random".
    """

    source: str | None
    revision: str | None = None
    cached: bool = True
    fingerprint: str = "random"

    def describe(self) -> dict[str, str | None]:
        """What a result records: the checkpoint, the hub's commit and a hash of the weight files (SHA-256 digits)."""
        if self.source is None:
            return {"checkpoint": None, "revision": None, "hash": None}
        local = Path(self.source).expanduser()
        if local.is_dir():
            folder, commit = local.resolve(), None
        else:
            commit = self.fingerprint
            folder = Path(str(_find_cached_file(self.source, "config.json", self.revision))).parent
        digests = _content_digests(folder, _find_weight_files(folder))
        together = digests[0] if len(digests) == 1 else hashlib.sha256("-".join(digests).encode()).hexdigest()[:32]
        return {"checkpoint": self.source, "revision": commit, "hash": together}


def _find_cached_file(checkpoint: str, name: str, revision: str | None) -> str | None:
    """The path of a file in the hub's cache, or None."""
    found = huggingface_hub.try_to_load_from_cache(checkpoint, name, revision=revision)
    return found if isinstance(found, str) else None


def _find_weight_files(folder: Path) -> list[Path]:
    """The files that transformers loads from a folder: one, or the shards that an index lists.

    Raises:
        SeenetError: none is there, or the index is damaged or lists a shard that is not there.
    """
    main = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if main is None:
        foreign = [name for name in FOREIGN_FILES if (folder / name).is_file()]
        way = (
            f"; convert {foreign[0]} with transformers 4 (from_tf=True or from_flax=True, then save_pretrained)"
            if foreign
            else ""
        )
        raise SeenetError(f"backbone.path='{folder}' holds no weights; expected one of {', '.join(WEIGHT_FILES)}{way}")
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
    """Raise a SeenetError for files that a clone without git-lfs left as pointers, and for empty files."""
    for file in files:
        with file.open("rb") as opened:
            head = opened.read(len(LFS_HEADER))
        if head == LFS_HEADER:
            raise SeenetError(
                f"backbone.path='{folder}': {file.name} is a Git LFS pointer, not the file itself; "
                "run 'git lfs install' and 'git lfs pull' there, or download the file"
            )
        if not head:
            raise SeenetError(f"backbone.path='{folder}': {file.name} is empty (0 bytes); download it again")


def _is_hub_reachable() -> bool:
    """Whether the hub answers within `HUB_TIMEOUT_SECONDS`; in a thread, for a name look-up knows no time limit."""
    answered = threading.Event()

    def ask() -> None:
        try:
            huggingface_hub.get_session().head(constants.ENDPOINT, timeout=HUB_TIMEOUT_SECONDS)
        except Exception:  # any failure of the network means the same here: no answer
            return
        answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_TIMEOUT_SECONDS)
    return answered.is_set()


def _content_digests(folder: Path, files: list[Path]) -> list[str]:
    """A hash of each file's bytes, read again only where its size or time of change moved."""
    name = hashlib.blake2b(str(folder).encode(), digest_size=8).hexdigest()
    memory = cache_dir() / "fingerprints" / f"{name}.json"
    known = json.loads(memory.read_text()) if memory.is_file() else {}
    fresh = {}
    for path in files:
        status = [path.stat().st_size, path.stat().st_mtime_ns]
        seen = known.get(path.name)
        fresh[path.name] = seen if seen and seen[:2] == status else [*status, file_digest(path)]
    if fresh != known:
        atomic_write_text(memory, json.dumps(fresh))
    return [digest for _, _, digest in fresh.values()]


def _resolve_local_folder(path: str, family: str) -> Weights:
    folder = Path(path).expanduser()
    config = folder / "config.json"
    if folder.is_file():
        raise SeenetError(
            f"backbone.path='{path}' is a file; expected a folder that save_pretrained wrote. A best.ckpt of seenet "
            "holds an emotion model, which its run tests by itself, and is no backbone"
        )
    if not config.is_file():
        raise SeenetError(
            f"backbone.path='{path}' is no folder with a config.json; give one that save_pretrained wrote"
        )
    _refuse_unusable_files(folder, [config])
    try:
        found = json.loads(config.read_text(encoding="utf-8"))["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise SeenetError(f"backbone.path='{path}': its config.json names no model_type ({error!r})") from error
    if found != family:
        raise SeenetError(f"backbone.path='{path}' holds a {found} model, not {family}; choose the fitting backbone")
    weights = _find_weight_files(folder)
    _refuse_unusable_files(folder, weights)
    files = sorted([*weights, config])
    fingerprint = "-".join(digest[:8] for digest in _content_digests(folder.resolve(), files))
    return Weights(str(folder), fingerprint=fingerprint)


def resolve_weights(
    family: str, checkpoint: str | None = None, revision: str | None = None, path: str | None = None
) -> Weights:
    """Where to load from: the local folder, else the hub's cache, else the hub.

    Args:
        family: the model type that the weights must be of.
        checkpoint: a name on the hub; None with no path means random weights.
        revision: of the name: a branch, tag or commit.
        path: a local folder, as `save_pretrained` writes it; goes before `checkpoint`.

    Raises:
        SeenetError: not there, of another family, or not cached with no network to fetch it.
    """
    if path is not None:
        return _resolve_local_folder(str(path), family)
    if checkpoint is None:
        return Weights(None)

    try:
        config = _find_cached_file(checkpoint, "config.json", revision)
    except HFValidationError as error:
        raise SeenetError(f"backbone.checkpoint='{checkpoint}' is no name on the hub: {one_line(error)}") from error
    if config and any(_find_cached_file(checkpoint, name, revision) for name in WEIGHT_FILES):
        return Weights(checkpoint, revision, cached=True, fingerprint=Path(config).parent.name)
    ways = "connect to the network once, or give backbone.path=FOLDER, or take a *_tiny backbone"
    if constants.HF_HUB_OFFLINE:
        raise SeenetError(f"the weights of '{checkpoint}' are not on this machine and HF_HUB_OFFLINE is set; {ways}")
    if not _is_hub_reachable():
        raise SeenetError(
            f"the weights of '{checkpoint}' are not on this machine and {constants.ENDPOINT} does not answer; {ways}"
        )
    try:
        commit = huggingface_hub.HfApi().model_info(checkpoint, revision=revision, timeout=HUB_TIMEOUT_SECONDS).sha
    except Exception as error:  # the hub client's errors have another base class in each of its versions
        what = f"the hub does not give '{checkpoint}' (revision {revision})"
        raise SeenetError(f"{what}: {one_line(error)}; {ways}") from error
    return Weights(checkpoint, revision=commit, cached=False, fingerprint=str(commit))

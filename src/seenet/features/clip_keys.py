"""Keys of hidden states: what determines them, as hashes.

A folder of the cache belongs to a corpus, an encoder and a layer; a key in it to the samples of a clip.
"""

import hashlib
import inspect
import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from seenet.corpora.waveform_store import WaveformStore

FORMAT = 2
"""Raised where equal settings give other features than before: then nothing older is read."""

NOT_OF_HIDDEN_STATES = (
    *("layers", "combine"),  # a run selects from all layers
    *("freeze", "freeze_feature_encoder"),  # training alone differs
    *("final_dropout", "hidden_dropout", "attention_dropout", "feat_proj_dropout", "dropout", "layerdrop"),
    *("mask_time_prob", "mask_feature_prob"),
)
"""Settings of a backbone that change no hidden state of a frozen encoder, which is in evaluation mode."""


def hash_tensors(module: nn.Module) -> str:
    """Return sixteen hexadecimal digits that stand for the frozen tensors of a module, for random weights."""
    state, trained = hashlib.blake2b(digest_size=8), {n for n, p in module.named_parameters() if p.requires_grad}
    for name, tensor in sorted(module.state_dict().items()):
        if name not in trained:
            state.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()


def hash_source(kind: type) -> str:
    """Return a hash of the file of a class outside seenet, which its author may change; else an empty text."""
    if kind.__module__.partition(".")[0] == "seenet":
        return ""
    try:
        return hashlib.blake2b(inspect.getsource(inspect.getmodule(kind) or kind).encode(), digest_size=8).hexdigest()
    except (OSError, TypeError):  # defined in a console
        return ""


def key_clips(store: WaveformStore, rows: NDArray[np.int64], names: Sequence[str] | None = None) -> NDArray[np.uint64]:
    """Return a key for each clip: equal samples have equal keys, with names only under equal names.

    Args:
        store: the waveforms.
        rows: of the clips in the store. Shape (clips,).
        names: of the clips, where features depend on them.

    Returns:
        Shape (clips,).
    """
    index = store.index[rows]
    columns = zip(
        *(index[column].tolist() for column in ("samples", "scale", "length")), *([names] if names else []), strict=True
    )
    digests = (hashlib.blake2b(json.dumps(values).encode(), digest_size=8).digest() for values in columns)
    return np.array([int.from_bytes(digest, "little") for digest in digests], dtype=np.uint64)

"""Leak audit: search for speakers, sessions, files and waveforms in two parts of a fold."""

import itertools

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from seenet.core.errors import SeenetError
from seenet.corpora.folds import Fold
from seenet.corpora.manifest import NAMES, Manifest
from seenet.corpora.protocols import LEAKS, Protocol
from seenet.corpora.split_schemes import Indices, mark_present


def audit_leaks(manifest: Manifest, digests: ArrayLike, fold: Fold, protocol: Protocol) -> dict[str, object]:
    """Verify that no speaker, session, file or identical waveform is in two parts of a fold.

    Args:
        manifest: the corpus.
        digests: hash of the samples of each utterance, 0 for a silent one. Shape (clips,).
        fold: the fold; if the protocol selects on the test part, dev and test count as one part.
        protocol: contains the kinds of leak that the user allows.

    Returns:
        `verdict` (`clean`, `leaks allowed` or `speakers unknown`), and the number of shared values for each kind of
        leak. The number is `unknown` if no known value is shared and the values of some clips are unknown.

    Raises:
        SeenetError: a leak that the user did not allow, with an example.
    """
    parts = {"train": fold.train, "dev": fold.dev, "test": fold.test}
    if protocol.selection == "test":
        del parts["dev"]
    verdict: dict[str, object] = {"verdict": "clean"}
    for kind in LEAKS:
        codes = _number_values(manifest, kind, digests)
        known = {name: mark_present(codes[part]) for name, part in parts.items()}
        size = max(map(len, known.values()))
        known = {name: np.pad(mask, (0, size - len(mask))) for name, mask in known.items()}
        shared = {(a, b): both for a, b in itertools.combinations(parts, 2) if (both := known[a] & known[b]).any()}
        verdict[kind] = int(sum(both.sum() for both in shared.values()))
        if not shared:
            # Disjoint known values prove nothing about unknown ones; a silent clip has no waveform to share.
            if kind != "waveform" and any((codes[part] < 0).any() for part in parts.values()):
                verdict[kind] = "unknown"
            continue
        if kind not in protocol.allow_leaks:
            (a, b), both = next(iter(shared.items()))
            may_be_other_people = manifest.parts and kind in NAMES
            clip = manifest[parts[b][codes[parts[b]] == np.argmax(both)][0]]
            raise SeenetError(
                f"fold {fold.number} leaks: {both.sum()} {kind}(s) in both {a} and {b}, e.g. clip '{clip.utterance}'"
                + (f" of {kind} '{getattr(clip, kind)}'" if kind in NAMES else "")
                + "; correct the corpus"
                + (", set other_people: true for a corpus of different people," if may_be_other_people else "")
                + f" or accept the leak by name: protocol.allow_leaks=[{kind}]"
            )
        verdict["verdict"] = "leaks allowed"
    if verdict["verdict"] == "clean" and verdict["speaker"] == "unknown":
        verdict["verdict"] = "speakers unknown"
    return verdict


def _number_values(manifest: Manifest, kind: str, digests: ArrayLike) -> Indices:
    """Return a code for each value of a kind of leak, -1 for unknown. Shape (clips,)."""
    if kind == "waveform":
        return np.where(np.asarray(digests) == 0, -1, pd.factorize(np.asarray(digests))[0])  # silence is no leak
    return manifest.files if kind == "file" else manifest.codes(kind)

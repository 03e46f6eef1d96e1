"""The leak audit: proof that no speaker, session, file or waveform is in two parts of a fold."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from seenet.core.errors import SeenetError
from seenet.corpora.folds import Fold
from seenet.corpora.manifest import NAMES, Manifest
from seenet.corpora.protocols import LEAKS, Protocol
from seenet.corpora.split_schemes import Indices, present


def audit_leaks(manifest: Manifest, digests: Sequence[object], fold: Fold, protocol: Protocol) -> dict[str, object]:
    """Prove that no speaker, session, file or identical waveform is in two parts of a fold.

    Args:
        manifest: the corpus.
        digests: a hash of each utterance's samples, 0 for a silent one. Shape (clips,).
        fold: the fold; where the protocol selects on the test fold, dev and test are one part.
        protocol: tells what the user allows.

    Returns:
        `verdict` (`clean`, `leaks allowed` or `speakers unknown`), and for each kind of leak how many are shared,
        or `unknown` where the corpus does not say for every clip and nothing known is shared.

    Raises:
        SeenetError: a leak that the user did not allow; the message names an example.
    """
    parts = {"train": fold.train, "dev": fold.dev, "test": fold.test}
    if protocol.selection == "test":
        del parts["dev"]
    verdict: dict[str, object] = {"verdict": "clean"}
    for kind in LEAKS:
        codes = _codes(manifest, kind, digests)
        known = {name: present(codes[part]) for name, part in parts.items()}
        size = max(map(len, known.values()))
        known = {name: np.pad(there, (0, size - len(there))) for name, there in known.items()}
        shared = {(a, b): both for a, b in itertools.combinations(parts, 2) if (both := known[a] & known[b]).any()}
        verdict[kind] = int(sum(both.sum() for both in shared.values()))
        if not shared:
            # What is known is disjoint, and that is no proof; a silent clip has no waveform to share.
            if kind != "waveform" and any((codes[part] < 0).any() for part in parts.values()):
                verdict[kind] = "unknown"
            continue
        if kind not in protocol.allow_leaks:
            (a, b), both = next(iter(shared.items()))
            apart = manifest.parts and kind in NAMES  # one corpus of several may be of other people
            clip = manifest[parts[b][codes[parts[b]] == np.argmax(both)][0]]
            raise SeenetError(
                f"fold {fold.number} leaks: {both.sum()} {kind}(s) in both {a} and {b}, e.g. clip '{clip.utterance}'"
                + (f" of {kind} '{getattr(clip, kind)}'" if kind in NAMES else "")
                + "; mend the corpus"
                + (", give a corpus other_people: true if its people are others," if apart else "")
                + f" or allow it by name: protocol.allow_leaks=[{kind}]"
            )
        verdict["verdict"] = "leaks allowed"
    if verdict["verdict"] == "clean" and verdict["speaker"] == "unknown":
        verdict["verdict"] = "speakers unknown"
    return verdict


def _codes(manifest: Manifest, kind: str, digests: Sequence[object]) -> Indices:
    """A number for each distinct value of what may leak; -1 where unknown. Shape (clips,)."""
    if kind == "waveform":
        return np.where(np.asarray(digests) == 0, -1, pd.factorize(np.asarray(digests))[0])  # silence is no leak
    return manifest.files if kind == "file" else manifest.codes(kind)

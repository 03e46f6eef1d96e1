"""Speed of the features of a frozen Whisper encoder, and of fitting heads to them, against transformers' own loop.

Stock is what a script does: one clip at a time through transformers' feature extractor and encoder, padded to 30 s, to
6 s with the positions cut, or not at all; then means and deviations of all layers. Ours is the extraction of
`tune=none`, which batches clips by length and weighs frames by level. The sides alternate in one process; the results
are ratios.

Usage: python benchmarks/extraction.py [CLIPS] [--encoder FOLDER] [--results FOLDER]
Without a folder the encoder has the size of Whisper tiny and random weights, which take the same time.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
import transformers
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.waveform_store import open_store
from seenet.data.batch import Batch
from seenet.features.extraction import batch_by_length, pool_layers, read_batch
from seenet.models.backbones.pretrained_weights import Weights, resolve_weights
from seenet.models.backbones.whisper_backbone import WhisperBackbone
from seenet.models.classifier import EmotionClassifier
from seenet.models.heads.logistic import LogisticHead
from seenet.models.pooling import StatisticsPooling
from seenet.runs.environment import versions

RATE, ROUNDS = 16000, 3
TINY = {"d_model": 384, "encoder_layers": 4, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536}
CONTEXTS = {"30 s": 30.0, "6 s": 6.0, "the clip's length": None}
FITTED = {"clips": 1440, "folds": 5, "classes": 8}
C = [0.01, 0.03, 0.1, 0.3]


def make_classifier(encoder: Path | None) -> EmotionClassifier:
    """Return the model of `tune=none`; its head is not used."""
    torch.manual_seed(0)
    weights = resolve_weights("whisper", path=str(encoder)) if encoder else Weights(None)
    architecture = {} if encoder else TINY
    backbone = WhisperBackbone(
        "whisper", weights, layers="transformer", combine="concat", freeze=True, architecture=architecture
    )
    pooling = StatisticsPooling(backbone.dim, ["mean", "std"], 40.0)
    return EmotionClassifier(backbone=backbone, pooling=pooling, auxiliary=torch.nn.Module(), head=torch.nn.Identity())


@torch.inference_mode()
def stock_loop(encoder: WhisperEncoder, clips: list[np.ndarray], seconds: float | None) -> np.ndarray:
    """Return means and deviations of the layers, clip by clip, as a script of transformers computes them."""
    positions, features, extractors = encoder.embed_positions, [], {}
    for clip in clips:
        context = seconds or -(-len(clip) // 320) / 50
        if context not in extractors:
            extractors[context] = transformers.WhisperFeatureExtractor(
                feature_size=encoder.num_mel_bins, chunk_length=context
            )
            extractors[context].n_samples = round(context * RATE)
        frames = round(context * 50)
        encoder.embed_positions = torch.nn.Embedding.from_pretrained(positions.weight[:frames])
        encoder.config.max_source_positions = encoder.max_source_positions = frames
        extract = extractors[context]
        inputs = extract(clip, sampling_rate=RATE, return_tensors="pt").input_features
        layers = encoder(inputs, output_hidden_states=True).hidden_states
        valid = [layer[0, : max(1, len(clip) // 320)] for layer in layers]
        features.append(torch.cat([v.mean(0) for v in valid] + [v.std(0, correction=0) for v in valid]).numpy())
    encoder.embed_positions = positions
    return np.array(features)


def extract(classifier: EmotionClassifier, store: object, rows: np.ndarray) -> np.ndarray:
    """Return the features of `tune=none`, without its cache."""
    features: dict[int, np.ndarray] = {}
    with torch.inference_mode():
        for chosen in batch_by_length(rows, store.lengths[rows]):  # type: ignore[attr-defined]
            batch: Batch = read_batch(store, chosen, None)  # type: ignore[arg-type]
            pooled = pool_layers(classifier, batch.waveform, batch.lengths).flatten(1).numpy()
            features |= dict(zip(chosen.tolist(), pooled, strict=True))
    return np.array([features[row] for row in rows.tolist()])


def fit_heads(dim: int) -> None:
    """Fit the default head of `tune=none` to random features of five folds: every C, then the selected one again."""
    rng = np.random.default_rng(0)
    clips, folds, classes = FITTED["clips"], FITTED["folds"], FITTED["classes"]
    labels = rng.integers(0, classes, clips)
    pooled = (rng.normal(size=(clips, dim)) + 0.5 * rng.normal(size=(classes, dim))[labels]).astype(np.float32)
    layout = (2, 4, dim // 8)
    for fold in range(folds):
        inside = np.arange(clips) % folds != fold
        head = LogisticHead(dim, classes, C, by_layer=True)
        for _ in head.fit(pooled[inside], labels[inside], C, layout):
            head(torch.from_numpy(pooled[~inside]))
        next(head.fit(pooled[inside], labels[inside], C[:1], layout))


def seconds_of(action: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main(clips: int, encoder: Path | None, results: Path | None) -> None:
    rng = np.random.default_rng(0)
    lengths = rng.uniform(2.0, 5.0, clips)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SEENET_CACHE"] = str(Path(folder) / "cache")
        waves = [(0.1 * rng.standard_normal(int(RATE * seconds))).astype(np.float32) for seconds in lengths]
        for number, wave in enumerate(waves):
            soundfile.write(Path(folder) / f"{number}.wav", wave, RATE)
        manifest = Manifest("bench", Path(folder), [Utterance(str(n), f"{n}.wav", "sad") for n in range(clips)])
        store = open_store(manifest, 6.0)
        classifier = make_classifier(encoder)
        backbone = classifier.backbone
        stock = WhisperEncoder(backbone.model.config).eval()  # type: ignore[union-attr,arg-type]
        stock.load_state_dict(backbone.model.state_dict())  # type: ignore[union-attr,arg-type]
        rows, times = np.arange(clips), {name: [] for name in ("ours", *CONTEXTS)}
        for _ in range(ROUNDS):  # alternate
            times["ours"].append(seconds_of(lambda: extract(classifier, store, rows)))
            for name, context in CONTEXTS.items():
                times[name].append(seconds_of(lambda context=context: stock_loop(stock, waves, context)))
    medians = {name: statistics.median(values) for name, values in times.items()}
    heads = seconds_of(lambda: fit_heads(2 * 4 * classifier.backbone.model.config.d_model))  # type: ignore[union-attr]
    figures = {
        "benchmark": "extraction",
        "clips": clips,
        "weights": "given" if encoder else "random",
        "ratio": {name: medians[name] / medians["ours"] for name in CONTEXTS},
        "heads_seconds": heads,
        "heads": {**FITTED, "c": C},
        "machine": f"{platform.machine()} CPU, {torch.get_num_threads()} threads",
        "versions": versions(),
    }
    for name in CONTEXTS:
        print(f"transformers' loop, {name}: {figures['ratio'][name]:.2f} times our time")
    print(f"logistic heads of {FITTED['clips']} clips, {FITTED['folds']} folds, {len(C)} C and a refit: {heads:.1f} s")
    print(json.dumps(figures))
    if results:
        results.mkdir(parents=True, exist_ok=True)
        (results / "extraction_cpu.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clips", type=int, nargs="?", default=96)
    parser.add_argument("--encoder", type=Path, help="folder of a Whisper encoder")
    parser.add_argument("--results", type=Path, help="folder for the figures")
    arguments = parser.parse_args()
    main(arguments.clips, arguments.encoder, arguments.results)

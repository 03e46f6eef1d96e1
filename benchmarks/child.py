"""One side of a comparison in a separate process; benchmarks/speed.py starts it.

Usage: python benchmarks/child.py memory SIDE DEVICE CLIPS | first SIDE FOLDER
"""

import math
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def memory(side: str, kind: str, clips: int) -> None:
    """Take two steps and print the peak memory of the process or the GPU in GiB.

    Print inf if the GPU cannot also hold the weights and optimiser of the other side.
    """
    import torch
    from speed import full_batch, model, sides

    trainer = sides("wavlm", *model("wavlm", kind), torch.device(kind))[side]  # the other side is freed
    batch = full_batch(trainer.device, clips)
    if kind == "cuda":
        torch.cuda.reset_peak_memory_stats()
    try:
        for _ in range(2):
            trainer.step(batch)
    except torch.OutOfMemoryError:
        print(math.inf)
        return
    if kind == "cuda":
        other = 16 * sum(p.numel() for p in trainer.model.parameters())  # float32: weights, gradients, two moments
        fits = torch.cuda.max_memory_reserved() + other < torch.cuda.mem_get_info()[1]
        print(torch.cuda.max_memory_allocated() / 2**30 if fits else math.inf)
        return
    status = Path("/proc/self/status").read_text(encoding="utf-8").split("\n")
    kilobytes = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    print(kilobytes / 2**20)


def first_of_ours(folder: Path) -> None:
    """Run `seenet-train` up to the end of its first step."""
    from seenet.cli.train import main
    from seenet.core.imports import pause_garbage_collection

    with pause_garbage_collection():  # as the command itself imports Lightning
        from seenet.training.callbacks import EpochHistory

    EpochHistory.on_train_batch_end = lambda *_: os._exit(0)
    sys.argv = ["seenet-train", "dataset.speakers=6", "dataset.clips=8", f"output_dir={folder / 'outputs'}"]
    main()


def first_of_stock(folder: Path) -> None:
    """Run a bare script: list files, read a batch, take a step with a model of transformers."""
    import torch
    from stock import QUIET, stock_loader
    from transformers import WavLMConfig, WavLMModel

    paths = sorted(folder.rglob("*.wav"))
    model = WavLMModel(WavLMConfig(**TINY, **QUIET)).train()
    head = torch.nn.Linear(model.config.hidden_size, 4)
    optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()])
    labels = torch.arange(len(paths)) % 4
    batch = next(iter(stock_loader(paths, labels, 32)))
    mask = torch.arange(batch.waveform.shape[1]) < batch.lengths[:, None]
    pooled = model(batch.waveform, attention_mask=mask.long()).last_hidden_state.mean(1)
    torch.nn.functional.cross_entropy(head(pooled), batch.labels).backward()
    optimizer.step()
    os._exit(0)


TINY = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
    "conv_dim": [64, 64], "conv_kernel": [400, 4], "conv_stride": [80, 4], "num_feat_extract_layers": 2,
    "conv_bias": True, "feat_extract_norm": "layer", "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
"""Architecture of conf/backbone/wavlm_tiny.yaml, which a bare script would not read."""


if __name__ == "__main__":
    what, side, *rest = sys.argv[1:]
    if what == "memory":
        memory(side, rest[0], int(rest[1]))
    else:
        {"ours": first_of_ours, "stock": first_of_stock}[side](Path(*rest))

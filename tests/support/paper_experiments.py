"""The paper's experiments: facts from its method, and the jobs of ours."""

from functools import cache

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from seenet.cli.sweep import list_jobs
from seenet.core.paths import conf_dir

METHOD = {
    # experiment: epochs, partners, swept groups with their choices in order
    "main": (15, "by corpus", {"dataset": ["iemocap", "msp_improv", "ravdess"]}),
    "backbones": (30, "by corpus", {"backbone": ["wav2vec2", "hubert", "wavlm", "data2vec"]}),
    "augmentation": (40, "by corpus", {"aug": ["none", "gaussian_snr", "speed", "pitch", "mixup", "ebm"]}),
    "auxiliary": (30, "by corpus", {"aux_task": ["none", "gender", "speaker", "see"]}),
    "noise": (15, "class_first", {"aug": ["none", "ebm"], "aux_task": ["none", "see"]}),
    "cross_corpus": (40, "class_first", {"dataset": ["iemocap", "msp_improv", "ravdess"]}),
    "paper_ravdess": (15, "by corpus", {}),
}
"""Facts of the paper and its code (Li et al. 2025)."""


def arms(config, experiment: str) -> list[DictConfig]:
    """The configuration of each job of an experiment."""
    return [config(*job) for job in _list_jobs(experiment)]


@cache
def _list_jobs(experiment: str) -> list[list[str]]:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        root = compose("train", overrides=[f"experiment={experiment}"], return_hydra_config=True)
    assert root.hydra.mode.name == "MULTIRUN"
    assert root.sweep.check
    return list_jobs(root)

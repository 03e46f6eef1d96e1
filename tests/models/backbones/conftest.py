"""Fixtures of backbones."""

import pytest
import torch

from seenet.core.instantiate import instantiate_checked
from seenet.models.backbones.pretrained_weights import Weights
from seenet.models.backbones.transformers_backbone import SpeechBackbone

NOT_ARGUMENTS = ("family", "checkpoint", "revision", "path", "recipe")
"""Keys of a YAML file of conf/backbone that are not arguments of the class."""


@pytest.fixture
def make_backbone(config):
    """Return a function that builds a backbone of conf/backbone, by default a random tiny one."""

    def make(choice: str = "wavlm_tiny", **settings) -> SpeechBackbone:
        torch.manual_seed(0)
        overrides = [f"backbone={choice}"]
        norm = settings.pop("norm", None)
        if norm and choice != "data2vec_tiny":  # data2vec-audio supports the layer norm only
            overrides.append(f"backbone.architecture.feat_extract_norm={norm}")
        cfg = config(*overrides).backbone
        weights = settings.pop("weights", Weights(None))
        return instantiate_checked(
            cfg, "backbone", skip=(*NOT_ARGUMENTS, *settings), family=cfg.family, weights=weights, **settings
        )

    return make

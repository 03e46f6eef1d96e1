"""The model as Lightning steps through it: nothing waits for the device, and an epoch's losses are means over clips."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import nn

from seenet.data.batch import Batch
from seenet.models.auxiliary.soft_emotion_experts import SoftEmotionExperts
from seenet.models.backbones.pretrained_weights import Weights
from seenet.models.backbones.transformers_backbone import SpeechBackbone
from seenet.models.classifier import EmotionClassifier
from seenet.models.heads.linear import LinearHead
from seenet.models.lightning_module import EmotionModel
from seenet.models.pooling import AttentionPooling
from seenet.training.run import run_experiment
from support.batches import batch_of
from support.console import SMALL
from support.device_guards import no_waiting

TINY = {
    **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64},
    **{"conv_dim": [24, 24], "conv_kernel": [10, 3], "conv_stride": [5, 2], "num_feat_extract_layers": 2},
    **{"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4},
}


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm", "data2vec-audio"])
def test_a_training_step_does_not_wait_for_the_device(family: str):
    """But for the loss, which is looked at now and then. (Whether a layer is dropped is drawn on the host.)"""
    backbone = SpeechBackbone(
        family,
        Weights(None),
        attention="sdpa",
        layerdrop=0.0,
        mask_time_prob=0.3,
        mask_feature_prob=0.1,
        architecture=TINY,
    )
    experts = SoftEmotionExperts(backbone.dim, 4, target_spec=None)
    classifier = EmotionClassifier(backbone, AttentionPooling(backbone.dim), experts, LinearHead(backbone.dim, 4))
    model = EmotionModel(classifier, nn.CrossEntropyLoss(), torch.optim.SGD, "abcd", 0).train()
    model.trainer = SimpleNamespace(is_last_batch=False)
    model.on_train_start()
    batch = batch_of([torch.randn(samples) for samples in (4000, 2900, 1700, 700)])
    with no_waiting():
        model.training_step(batch, 1).backward()
        model.eval().validation_step(batch, 1)
    with pytest.raises(AssertionError), no_waiting():
        model.train().training_step(batch, 0)


def test_main_head_begins_as_in_the_original():
    """Weights N(0, 0.02²) and biases 0, whatever the width of the backbone."""
    backbone = nn.Identity()
    backbone.dim = 2000
    torch.manual_seed(0)
    head = EmotionClassifier(backbone, nn.Identity(), nn.Identity(), LinearHead(backbone.dim, 4)).head
    assert kstest(head.weight.detach().flatten().numpy() / 0.02, "norm").pvalue > 1e-3
    assert not head.bias.any()


def test_losses_of_an_epoch_are_means_over_clips(config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whatever the batches: the last ones of these parts are smaller."""
    seen, step = [], EmotionModel.training_step

    def watched(self: EmotionModel, batch: Batch, number: int) -> torch.Tensor:
        loss = step(self, batch, number)
        seen.extend([loss.item()] * len(batch))
        return loss

    monkeypatch.setattr(EmotionModel, "training_step", watched)
    (folder,) = run_experiment(
        config(*SMALL, f"output_dir={tmp_path}", "fold=0", "trainer.max_epochs=1", "data.batch_size=5")
    )
    with (folder.parent / "curves.csv").open(newline="") as file:
        (curves,) = csv.DictReader(file)
    with (folder.parent / "dev_predictions.csv").open(newline="") as file:
        dev = [float(row[f"p_{row['label']}"]) for row in csv.DictReader(file)]
    assert len(seen) % 5 and len(dev) % 5
    assert float(curves["fit_loss"]) == pytest.approx(np.mean(seen), rel=1e-5)
    assert float(curves["dev_loss"]) == pytest.approx(-np.log(dev).mean(), rel=1e-4)

"""The parts of the speech models of transformers that this package uses.

The models with the convolutions of wav2vec 2.0 share them without a common base class.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from torch import Tensor, nn
from transformers import PreTrainedConfig


class ConvolutionLayer(Protocol):
    """A convolution of the feature encoder. Some layers have no `layer_norm`."""

    conv: nn.Conv1d
    layer_norm: nn.Module
    activation: nn.Module


class FeatureEncoder(Protocol):
    """The convolutions that map waveforms to features."""

    conv_layers: Sequence[ConvolutionLayer]

    def compile(self, *, dynamic: bool) -> None:
        """Compile the encoder with torch.compile."""

    def _freeze_parameters(self) -> None: ...


class TransformerEncoder(Protocol):
    """The transformer on the features."""

    pos_conv_embed: nn.Module
    layers: Iterable[nn.Module]


class EncoderOutput(Protocol):
    """The output of a speech model.

    Attributes:
        last_hidden_state: shape (batch, frames, dim).
        hidden_states: input of the first transformer layer, then the output of each, if requested. Shape of each
            (batch, frames, dim).
    """

    last_hidden_state: Tensor
    hidden_states: Sequence[Tensor]


class SpeechEncoder(Protocol):
    """A speech model of transformers.

    Attributes:
        frames: valid frames of the next batch, from `set_lengths`. Shape (batch,).
    """

    config: PreTrainedConfig
    training: bool
    feature_extractor: FeatureEncoder
    encoder: TransformerEncoder
    frames: Tensor
    _mask_hidden_states: Callable[..., Tensor]
    _get_feature_vector_attention_mask: Callable[..., Tensor]

    def __call__(self, waveform: Tensor, *, attention_mask: Tensor, output_hidden_states: bool) -> EncoderOutput:
        """Encode a padded batch."""

    def eval(self) -> object:
        """Set the evaluation mode."""

    def modules(self) -> Iterator[nn.Module]:
        """Iterate over all modules."""

    def requires_grad_(self, requires_grad: bool) -> object:
        """Set whether the parameters are trained."""

    def gradient_checkpointing_enable(self, settings: Mapping[str, bool]) -> None:
        """Enable gradient checkpointing."""

    def set_attn_implementation(self, name: str) -> None:
        """Select a registered implementation of attention."""

    def _get_feat_extract_output_lengths(self, samples: Tensor) -> Tensor: ...

"""Builders of architectures that take more than a class and its arguments.

Each imports its package inside its function: none of them is there in every environment.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable


class Wrapped(nn.Module):
    """A module, and how it is called on a plain tensor."""

    def __init__(self, module: nn.Module, call: Callable[..., Any]) -> None:
        """Call ``call(module, *inputs)``."""
        super().__init__()
        self.module = module
        self.call = call

    def forward(self, *inputs: Tensor) -> Any:
        """The result of ``call``."""
        return self.call(self.module, *inputs)


class ThereAndBack(nn.Module):
    """A transform of a waveform and its inverse.

    The spectrum is doubled in between.
    """

    def __init__(self, transform: nn.Module, inverse: nn.Module, back: Callable[..., Tensor]) -> None:
        """Call ``back(inverse, spectrum, wave)``."""
        super().__init__()
        self.transform = transform
        self.inverse = inverse
        self.back = back

    def forward(self, wave: Tensor) -> Tensor:
        """The waveform, twice as loud."""
        return self.back(self.inverse, self.transform(wave), wave)


def dccrnet() -> nn.Module:
    """DCCRN-CL of asteroid.

    Its size of an LSTM is one of numpy's whole numbers, which PyTorch 2.13 refuses.
    """
    from asteroid.masknn import recurrent
    from asteroid.models import DCCRNet

    layer = recurrent.DCCRMaskNetRNN
    with patch.object(recurrent, "DCCRMaskNetRNN", lambda size: layer(int(size))):
        return DCCRNet("DCCRN-CL")


def dcunet() -> nn.Module:
    """DCUNet-10 of asteroid."""
    from asteroid.models import DCUNet

    return DCUNet("DCUNet-10", fix_length_mode="pad")


def _mdx23c_configuration() -> dict[str, dict[str, Any]]:
    return {
        "audio": {"chunk_size": 64 * 512 - 512, "dim_f": 1024, "dim_t": 64, "hop_length": 512, "n_fft": 2048,
                  "num_channels": 2, "sample_rate": 44100},
        "model": {"act": "gelu", "bottleneck_factor": 4, "growth": 16, "norm": "InstanceNorm",
                  "num_blocks_per_scale": 2, "num_channels": 16, "num_scales": 3, "num_subbands": 4,
                  "scale": [2, 2]},
        "training": {"instruments": ["vocals", "other"], "target_instrument": None},
    }  # fmt: skip


def _spaces(values: Any) -> Any:
    """Dictionaries as objects with attributes."""
    if isinstance(values, dict):
        return SimpleNamespace(**{key: _spaces(value) for key, value in values.items()})
    return values


def mdx23c_of_audio_separator() -> nn.Module:
    """TFC-TDF v3 of audio-separator."""
    from audio_separator.separator.uvr_lib_v5.tfc_tdf_v3 import TFC_TDF_net

    return TFC_TDF_net(_spaces(_mdx23c_configuration()), "cpu")


def mdx23c_of_pymss() -> nn.Module:
    """TFC-TDF v3 of pymss-core."""
    from pymss_core.modules.mdx23c_tfc_tdf_v3 import TFC_TDF_net

    return TFC_TDF_net(_spaces(_mdx23c_configuration()))


def bigvgan() -> nn.Module:
    """A small generator with the anti-aliased activations of v2."""
    from bigvgan.bigvgan import BigVGAN
    from bigvgan.env import AttrDict

    configuration = AttrDict(
        resblock="1", upsample_rates=[4, 4], upsample_kernel_sizes=[8, 8], upsample_initial_channel=64,
        resblock_kernel_sizes=[3, 7], resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]],
        activation="snakebeta", snake_logscale=True, num_mels=80,
    )  # fmt: skip
    return BigVGAN(configuration)


def deepfilternet3() -> nn.Module:
    """DeepFilterNet3 with its own filter bank."""
    import numpy as np
    from df.config import config
    from df.deepfilternet3 import DfNet, ModelParams
    from df.modules import erb_fb
    from libdf import DF

    config.use_defaults()
    parameters = ModelParams()
    state = DF(sr=parameters.sr, fft_size=parameters.fft_size, hop_size=parameters.hop_size,
               nb_bands=parameters.nb_erb, min_nb_erb_freqs=parameters.min_nb_freqs)  # fmt: skip
    widths = np.asarray(state.erb_widths())
    return DfNet(erb_fb(widths, parameters.sr), erb_fb(widths, parameters.sr, inverse=True))


def encodec() -> nn.Module:
    """Encoder and decoder of the codec of 24 kHz, without its quantiser."""
    from encodec.modules import SEANetDecoder, SEANetEncoder

    size = {"norm": "weight_norm", "causal": True, "n_filters": 8, "dimension": 64}
    return nn.Sequential(SEANetEncoder(**size), SEANetDecoder(**size))


def openunmix_separator(niter: int) -> nn.Module:
    """Waveform to waveform, one small network per target."""
    from openunmix.model import OpenUnmix, Separator

    targets = {
        name: OpenUnmix(nb_bins=2049, nb_channels=2, hidden_size=64, max_bin=1487)
        for name in ("drums", "bass", "other", "vocals")
    }
    return Separator(targets, niter=niter, nb_channels=2, wiener_win_len=None)


def bandit(**arguments: Any) -> nn.Module:
    """The first Bandit, of pymss-core."""
    from pymss_core.modules.bandit.core.model import MultiMaskMultiSourceBandSplitRNNSimple

    return MultiMaskMultiSourceBandSplitRNNSimple(in_channel=1, band_specs="musical", **arguments)


def bandit_v2(**arguments: Any) -> nn.Module:
    """The second Bandit, of pymss-core, which takes channels one by one."""
    from pymss_core.modules.bandit_v2.bandit import Bandit

    return Bandit(in_channels=1, **arguments)


def resemble_denoiser() -> nn.Module:
    """The denoiser, which masks magnitude and phase."""
    from resemble_enhance.denoiser.denoiser import Denoiser
    from resemble_enhance.denoiser.hparams import HParams

    return Denoiser(HParams())


def hifigan() -> nn.Module:
    """A small generator of HiFi-GAN, of speechbrain."""
    from speechbrain.lobes.models.HifiGAN import HifiganGenerator

    return HifiganGenerator(
        in_channels=80, out_channels=1, resblock_type="1",
        resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]], resblock_kernel_sizes=[3, 7],
        upsample_kernel_sizes=[16, 16], upsample_initial_channel=64, upsample_factors=[8, 8],
    )  # fmt: skip


def conformer() -> nn.Module:
    """A small Conformer, of torchaudio, on sequences of one length."""
    from torchaudio.models import Conformer

    module = Conformer(input_dim=80, num_heads=4, ffn_dim=160, num_layers=2, depthwise_conv_kernel_size=31)
    return Wrapped(module, lambda network, frames: network(frames, torch.tensor([frames.shape[1]]))[0])


def wav2vec2() -> nn.Module:
    """A small wav2vec 2.0, of torchaudio."""
    from torchaudio.models import wav2vec2_model

    module = wav2vec2_model(
        extractor_mode="group_norm", extractor_conv_layer_config=[(64, 10, 5), (64, 8, 4), (64, 4, 4)],
        extractor_conv_bias=False, encoder_embed_dim=96, encoder_projection_dropout=0.0,
        encoder_pos_conv_kernel=32, encoder_pos_conv_groups=4, encoder_num_layers=2, encoder_num_heads=4,
        encoder_attention_dropout=0.0, encoder_ff_interm_features=192, encoder_ff_interm_dropout=0.0,
        encoder_dropout=0.0, encoder_layer_norm_first=False, encoder_layer_drop=0.0, aux_num_out=32,
    )  # fmt: skip
    return Wrapped(module, lambda network, wave: network(wave)[0])


def squim() -> nn.Module:
    """A small estimator of speech quality, of torchaudio."""
    from torchaudio.models.squim.objective import squim_objective_model

    return squim_objective_model(
        feat_dim=64, win_len=64, d_model=64, nhead=4, hidden_dim=64, num_blocks=2, rnn_type="LSTM",
        chunk_size=71,
    )  # fmt: skip


def vocos() -> nn.Module:
    """Mel spectrogram, ConvNeXt blocks and an inverse STFT."""
    from vocos.feature_extractors import MelSpectrogramFeatures
    from vocos.heads import ISTFTHead
    from vocos.models import VocosBackbone
    from vocos.pretrained import Vocos

    backbone = VocosBackbone(input_channels=100, dim=96, intermediate_dim=256, num_layers=3)
    head = ISTFTHead(dim=96, n_fft=1024, hop_length=256, padding="center")
    return Vocos(MelSpectrogramFeatures(), backbone, head)


def mfcc_of_diffsptk() -> nn.Module:
    """Frames, spectrum and cepstrum."""
    from diffsptk import MFCC, STFT

    spectrum = STFT(frame_length=400, frame_period=160, fft_length=512)
    return nn.Sequential(
        spectrum, MFCC(fft_length=512, mfcc_order=13, n_channel=40, sample_rate=16000, f_max=8000)
    )


def stft_of_openunmix() -> nn.Module:
    """The pair of filter banks of Open-Unmix."""
    from openunmix.transforms import make_filterbanks

    transform, inverse = make_filterbanks(n_fft=4096, n_hop=1024, center=True)
    return ThereAndBack(
        transform, inverse, lambda back, spectrum, wave: back(2 * spectrum, length=wave.shape[-1])
    )


def stft_of_speechbrain() -> nn.Module:
    """The pair of speechbrain."""
    from speechbrain.processing.features import ISTFT, STFT

    return ThereAndBack(
        STFT(sample_rate=16000),
        ISTFT(sample_rate=16000),
        lambda back, spectrum, wave: back(2 * spectrum, sig_length=wave.shape[-1]),
    )


def spectrogram_of_torchaudio() -> nn.Module:
    """The complex pair of torchaudio."""
    from torchaudio.transforms import InverseSpectrogram, Spectrogram

    return ThereAndBack(
        Spectrogram(n_fft=2048, power=None),
        InverseSpectrogram(n_fft=2048),
        lambda back, spectrum, wave: back(2 * spectrum, wave.shape[-1]),
    )


def time_stretch() -> nn.Module:
    """A phase vocoder that makes a waveform 1.25 times as fast."""
    from torchaudio.transforms import InverseSpectrogram, Spectrogram, TimeStretch

    return nn.Sequential(
        Spectrogram(n_fft=512, power=None),
        TimeStretch(hop_length=256, n_freq=257, fixed_rate=1.25),
        InverseSpectrogram(n_fft=512),
    )


def mdct() -> nn.Module:
    """The pair of torch-mdct."""
    from torch_mdct import IMDCT, MDCT

    return ThereAndBack(
        MDCT(win_length=1024),
        IMDCT(win_length=1024),
        lambda back, spectrum, wave: back(2 * spectrum, n_samples=wave.shape[-1]),
    )


def stft_of_torchlibrosa() -> nn.Module:
    """The pair by convolutions."""
    from torchlibrosa.stft import ISTFT, STFT

    return ThereAndBack(
        STFT(n_fft=1024, hop_length=256),
        ISTFT(n_fft=1024, hop_length=256),
        lambda back, spectrum, wave: back(2 * spectrum[0], 2 * spectrum[1], wave.shape[-1]),
    )

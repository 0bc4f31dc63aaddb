"""Architectures of packages on PyPI: how to install, build and call each.

Data: none of the packages is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

NETWORK, TRANSFORM = "network", "transform"


@dataclass(frozen=True)
class Package:
    """A release on PyPI.

    Attributes:
        version: Of the release.
        requires: Other releases that its networks import, besides torch and this project's own; as pip takes
            them.
        alone: Whether it needs an environment of its own, since it or what it requires clashes with others.
        bare: Import packages whose ``__init__`` is not run: it imports what the networks do not.
        removed: Files and folders that are deleted after the installation, since they cannot be loaded.
    """

    version: str
    requires: tuple[str, ...] = ()
    alone: bool = False
    bare: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


TORCHAUDIO = "torchaudio==2.11.0"
LIBROSA = (
    "librosa==0.11.0",
    "scipy==1.17.1",
    "numba==0.68.1",
    "llvmlite==0.50.0",
    "scikit-learn==1.9.1",
    "joblib==1.6.0",
    "lazy-loader==0.6",
    "pooch==1.9.0",
    "audioread==3.1.0",
    "decorator==5.3.1",
    "msgpack==1.2.4",
    "threadpoolctl==3.8.0",
    "cloudpickle==3.1.3",
)
MATPLOTLIB = (
    "matplotlib==3.11.2",
    "contourpy==1.3.3",
    "cycler==0.12.1",
    "fonttools==4.68.0",
    "kiwisolver==1.5.1",
    "pillow==13.0.0",
    "pyparsing==3.3.3",
)
ROTARY = "rotary-embedding-torch==0.6.5"
SEPARATOR = "audio_separator.separator"
UVR = f"{SEPARATOR}.uvr_lib_v5"

PACKAGES: Mapping[str, Package] = {
    # The library of the wheel on PyPI is linked with CUDA; without it torchaudio is Python alone.
    "torchaudio": Package("2.11.0", removed=("torchaudio/lib",)),
    "asteroid": Package("0.7.0", ("asteroid-filterbanks==0.4.0", *LIBROSA)),
    "audio-separator": Package(
        "0.47.1", (ROTARY, "beartype==0.23.1", "diffq==0.2.4", *LIBROSA), bare=("audio_separator", SEPARATOR)
    ),
    "auraloss": Package("0.4.0"),
    "beat-this": Package("1.1.0", (ROTARY, TORCHAUDIO)),
    "bigvgan": Package("2.4.1", (*LIBROSA, *MATPLOTLIB), bare=("bigvgan",)),
    "BS-RoFormer": Package(
        "1.2.4",
        (
            "rotary-embedding-torch==0.9.1",
            "beartype==0.23.1",
            "einx==0.4.3",
            "frozendict==2.5.1",
            "hyper-connections==0.4.11",
            "pope-pytorch==0.2.1",
            "torch-einops-utils==0.2.0",
            *LIBROSA,
        ),
        alone=True,
    ),
    "cleanunet": Package("0.0.3"),
    "deepfilternet": Package("0.5.6", ("deepfilterlib==0.5.6", "loguru==0.7.3"), bare=("df",)),
    "demucs-infer": Package("4.4.0"),
    "denoiser": Package("0.1.5"),
    "diffsptk": Package("4.0.1", (TORCHAUDIO, "scipy==1.17.1")),
    "encodec": Package("0.1.1", (TORCHAUDIO,)),
    "julius": Package("0.2.8"),
    "kymatio": Package("0.3.0", ("scipy==1.17.1",), bare=("kymatio",)),
    "moises-light": Package("0.1.5", (ROTARY,)),
    "nnAudio": Package("0.3.4", ("scipy==1.17.1",)),
    "openunmix": Package("1.3.0", (TORCHAUDIO,)),
    "pymss-core": Package("0.1.14"),
    "resemble-enhance": Package("0.0.1", (TORCHAUDIO, "omegaconf==2.4.0", "antlr4-python3-runtime==4.13.2")),
    "snac": Package("1.2.1"),
    "speechbrain": Package("1.1.2", (TORCHAUDIO, "scipy==1.17.1", "HyperPyYAML==1.2.3")),
    "torch-mdct": Package("0.5.0"),
    "torchcrepe": Package("0.0.24", ("resampy==0.4.3", TORCHAUDIO, *LIBROSA)),
    "torchlibrosa": Package("0.1.0", LIBROSA),
    "unblend": Package("1.0.0", (TORCHAUDIO,), bare=("unblend",)),
    "vocos": Package("0.1.0", (TORCHAUDIO, "encodec==0.1.1")),
}


@dataclass(frozen=True)
class Entry:
    """An architecture.

    Attributes:
        package: Its name on PyPI.
        name: The class as the package calls it, with more where two entries share it.
        make: The builder, as ``module:attribute``.
        shapes: Those of its inputs.
        arguments: The builder's.
        kind: :data:`NETWORK`, or :data:`TRANSFORM` for what has no weights to learn.
        note: What a reader should know of it.
    """

    package: str
    name: str
    make: str
    shapes: tuple[tuple[int, ...], ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    kind: str = NETWORK
    note: str = ""

    @property
    def key(self) -> str:
        """The name that the command takes."""
        return f"{self.package}/{self.name}"


SOURCES = ["drums", "bass", "other", "vocals"]
STEREO_SECOND, SECOND, SPEECH, SPEECH_MONO = (1, 2, 44100), (1, 1, 44100), (1, 1, 16000), (1, 16000)
ROFORMER = {
    "dim": 64, "depth": 2, "stereo": True, "num_stems": 1, "time_transformer_depth": 1,
    "freq_transformer_depth": 1, "dim_head": 32, "heads": 4, "flash_attn": True,
    "stft_hop_length": 441, "mask_estimator_depth": 2,
}  # fmt: skip
UNBLEND = {key: value for key, value in ROFORMER.items() if key != "flash_attn"}
MEL = {**ROFORMER, "num_bands": 40}
HDEMUCS = {"sources": SOURCES, "channels": 16, "samplerate": 44100, "segment": 1}
HTDEMUCS = {**HDEMUCS, "t_layers": 2, "bottom_channels": 64}
SCNET = {"sources": SOURCES, "dims": [4, 16, 32, 64], "num_dplayer": 2}
BAND_SPLIT = {"stems": ["speech", "music"], "n_bands": 24, "n_sqm_modules": 2, "emb_dim": 32, "rnn_dim": 32,
              "mlp_dim": 64}  # fmt: skip

NETWORKS = (
    Entry("asteroid", "ConvTasNet", "asteroid.models:ConvTasNet", (SPEECH,),
          {"n_src": 2, "n_blocks": 4, "n_repeats": 2, "n_filters": 256}),
    Entry("asteroid", "DPRNNTasNet", "asteroid.models:DPRNNTasNet", (SPEECH,), {"n_src": 2, "n_repeats": 2}),
    Entry("asteroid", "DPTNet", "asteroid.models:DPTNet", (SPEECH,), {"n_src": 2, "n_repeats": 2}),
    Entry("asteroid", "DCCRNet", "builders:dccrnet", (SPEECH,)),
    Entry("asteroid", "DCUNet", "builders:dcunet", ((1, 1, 32768),)),
    Entry("asteroid", "DeMask", "asteroid.models:DeMask", (SPEECH,)),
    Entry("asteroid", "FasNetTAC", "asteroid.models:FasNetTAC", ((1, 2, 8000),),
          {"n_src": 2, "n_layers": 2}),
    Entry("asteroid", "LSTMTasNet", "asteroid.models:LSTMTasNet", (SPEECH,),
          {"n_src": 2, "n_layers": 2, "hid_size": 128}),
    Entry("asteroid", "SuDORMRFNet", "asteroid.models.sudormrf:SuDORMRFNet", (SPEECH,),
          {"n_src": 2, "num_blocks": 4, "n_filters": 256}),
    Entry("asteroid", "SuDORMRFImprovedNet", "asteroid.models.sudormrf:SuDORMRFImprovedNet", (SPEECH,),
          {"n_src": 2, "num_blocks": 4, "n_filters": 256}),
    Entry("audio-separator", "BSRoformer", f"{UVR}.roformer.bs_roformer:BSRoformer", (STEREO_SECOND,),
          ROFORMER),
    Entry("audio-separator", "MelBandRoformer", f"{UVR}.roformer.mel_band_roformer:MelBandRoformer",
          (STEREO_SECOND,), MEL),
    Entry("audio-separator", "MDX23C", "builders:mdx23c_of_audio_separator", ((1, 2, 64 * 512 - 512),)),
    Entry("audio-separator", "VR network", f"{UVR}.vr_network.nets_new:CascadedNet",
          ((1, 2, 513, 128),), {"n_fft": 1024, "nn_arch_size": 31191, "nout": 16, "nout_lstm": 64}),
    Entry("audio-separator", "HTDemucs", f"{UVR}.demucs.htdemucs:HTDemucs", (STEREO_SECOND,), HTDEMUCS),
    Entry("audio-separator", "ConvTasNet", f"{UVR}.demucs.tasnet_v2:ConvTasNet", (STEREO_SECOND,),
          {"sources": SOURCES, "N": 128, "B": 64, "H": 128, "X": 4, "R": 2}),
    Entry("beat-this", "BeatThis", "beat_this.model.beat_tracker:BeatThis", ((1, 500, 128),),
          {"transformer_dim": 128, "n_layers": 2, "stem_dim": 16, "head_dim": 16},
          note="10 s of its spectrogram"),
    Entry("bigvgan", "BigVGAN", "builders:bigvgan", ((1, 80, 64),)),
    Entry("BS-RoFormer", "BSRoformer", "bs_roformer:BSRoformer", (STEREO_SECOND,), ROFORMER),
    Entry("BS-RoFormer", "MelBandRoformer", "bs_roformer:MelBandRoformer", (STEREO_SECOND,), MEL),
    Entry("cleanunet", "CleanUNet", "cleanunet.network:CleanUNet", (SPEECH,),
          {"channels_H": 16, "encoder_n_layers": 6, "tsfm_n_layers": 2, "tsfm_n_head": 4,
           "tsfm_d_model": 128, "tsfm_d_inner": 256}),
    Entry("deepfilternet", "DeepFilterNet3", "builders:deepfilternet3",
          ((1, 1, 100, 481, 2), (1, 1, 100, 32), (1, 1, 100, 96, 2)),
          note="1 s of its spectrum and features"),
    Entry("demucs-infer", "HTDemucs", "demucs_infer.htdemucs:HTDemucs", (STEREO_SECOND,), HTDEMUCS),
    Entry("demucs-infer", "HDemucs", "demucs_infer.hdemucs:HDemucs", (STEREO_SECOND,), HDEMUCS),
    Entry("denoiser", "Demucs", "denoiser.demucs:Demucs", (SPEECH,), {"hidden": 24}),
    Entry("encodec", "EncodecModel", "builders:encodec", ((1, 1, 24000),)),
    Entry("moises-light", "MoisesLight", "moises_light:MoisesLight", (STEREO_SECOND,),
          {"G": 16, "n_rope": 2}),
    Entry("openunmix", "OpenUnmix", "openunmix.model:OpenUnmix", ((1, 2, 2049, 64),),
          {"nb_bins": 2049, "hidden_size": 128, "max_bin": 1487}, note="magnitudes"),
    Entry("openunmix", "Separator", "builders:openunmix_separator", (STEREO_SECOND,), {"niter": 0}),
    Entry("openunmix", "Separator, one Wiener iteration", "builders:openunmix_separator", (STEREO_SECOND,),
          {"niter": 1}),
    Entry("pymss-core", "BSRoformer", "pymss_core.modules.bs_roformer.bs_roformer:BSRoformer",
          (STEREO_SECOND,), ROFORMER),
    Entry("pymss-core", "BSRoformer with PoPE", "pymss_core.modules.bs_roformer.bs_roformer:BSRoformer",
          (STEREO_SECOND,), {**ROFORMER, "use_pope": True}),
    Entry("pymss-core", "MelBandRoformer",
          "pymss_core.modules.bs_roformer.mel_band_roformer:MelBandRoformer", (STEREO_SECOND,), MEL),
    Entry("pymss-core", "TFC_TDF_net", "builders:mdx23c_of_pymss", ((1, 2, 64 * 512 - 512),)),
    Entry("pymss-core", "SCNet", "pymss_core.modules.scnet.scnet:SCNet", (STEREO_SECOND,), SCNET),
    Entry("pymss-core", "HTDemucs", "pymss_core.modules.demucs4ht:HTDemucs", (STEREO_SECOND,), HTDEMUCS),
    Entry("pymss-core", "Apollo", "pymss_core.modules.look2hear.apollo:Apollo", (SECOND,),
          {"sr": 44100, "win": 20, "feature_dim": 64, "layer": 2}),
    Entry("pymss-core", "Bandit", "builders:bandit", (STEREO_SECOND,), BAND_SPLIT),
    Entry("pymss-core", "Bandit v2", "builders:bandit_v2", (STEREO_SECOND,), BAND_SPLIT),
    Entry("resemble-enhance", "Denoiser", "builders:resemble_denoiser", ((1, 44100),)),
    Entry("snac", "SNAC", "snac:SNAC", ((1, 1, 14112),),
          {"encoder_dim": 16, "decoder_dim": 256, "noise": False, "attn_window_size": None}),
    Entry("speechbrain", "SepformerWrapper", "speechbrain.lobes.models.dual_path:SepformerWrapper",
          (SPEECH_MONO,), {"encoder_out_nchannels": 64, "masknet_numlayers": 1, "intra_numlayers": 2,
                           "inter_numlayers": 2, "intra_nhead": 4, "inter_nhead": 4, "intra_dffn": 128,
                           "inter_dffn": 128}),
    Entry("speechbrain", "HifiganGenerator", "builders:hifigan", ((1, 80, 32),)),
    Entry("speechbrain", "ECAPA_TDNN", "speechbrain.lobes.models.ECAPA_TDNN:ECAPA_TDNN", ((1, 100, 80),),
          {"input_size": 80, "channels": [128, 128, 128, 128, 256]}),
    Entry("torchaudio", "ConvTasNet", "torchaudio.models:ConvTasNet", (SPEECH,),
          {"enc_num_feats": 256, "msk_num_layers": 4, "msk_num_stacks": 2}),
    Entry("torchaudio", "HDemucs", "torchaudio.models:HDemucs", (STEREO_SECOND,),
          {"sources": SOURCES, "channels": 16}),
    Entry("torchaudio", "Conformer", "builders:conformer", ((1, 100, 80),)),
    Entry("torchaudio", "Wav2Letter", "torchaudio.models:Wav2Letter", (SPEECH,),
          {"num_classes": 40, "input_type": "waveform"}),
    Entry("torchaudio", "Wav2Vec2Model", "builders:wav2vec2", (SPEECH_MONO,)),
    Entry("torchaudio", "SquimObjective", "builders:squim", (SPEECH_MONO,)),
    Entry("torchcrepe", "Crepe", "torchcrepe.model:Crepe", ((100, 1024),), {"model": "tiny"}),
    Entry("unblend", "BSRoformer", "unblend.roformer:BSRoformer", (STEREO_SECOND,), UNBLEND),
    Entry("unblend", "MelBandRoformer", "unblend.roformer:MelBandRoformer", (STEREO_SECOND,),
          {**UNBLEND, "num_bands": 40}),
    Entry("vocos", "Vocos", "builders:vocos", ((1, 24000),)),
)  # fmt: skip

TRANSFORMS = tuple(
    Entry(package, name, make, shapes, arguments, TRANSFORM)
    for package, name, make, shapes, arguments in (
        ("auraloss", "MultiResolutionSTFTLoss", "auraloss.freq:MultiResolutionSTFTLoss", (SECOND, SECOND),
         {}),
        ("diffsptk", "STFT", "diffsptk:STFT", (SPEECH_MONO,),
         {"frame_length": 400, "frame_period": 80, "fft_length": 512}),
        ("diffsptk", "MFCC", "builders:mfcc_of_diffsptk", (SPEECH_MONO,), {}),
        ("diffsptk", "PQMF", "diffsptk:PQMF", ((1, 1, 16000),), {"n_band": 4, "filter_order": 47}),
        ("julius", "ResampleFrac", "julius:ResampleFrac", (SECOND,), {"old_sr": 44100, "new_sr": 48000}),
        ("julius", "LowPassFilter", "julius:LowPassFilter", (SECOND,), {"cutoff": 0.02}),
        ("julius", "SplitBands", "julius:SplitBands", (SECOND,), {"sample_rate": 44100, "n_bands": 4}),
        ("kymatio", "Scattering1D",
         "kymatio.scattering1d.frontend.torch_frontend:ScatteringTorch1D", ((1, 8192),),
         {"J": 6, "shape": 8192, "Q": 8}),
        ("nnAudio", "CQT1992v2", "nnAudio.features:CQT1992v2", (SPEECH_MONO,),
         {"sr": 16000, "fmin": 110, "n_bins": 60, "verbose": False}),
        ("nnAudio", "CQT2010v2", "nnAudio.features:CQT2010v2", (SPEECH_MONO,),
         {"sr": 16000, "fmin": 110, "n_bins": 60, "verbose": False}),
        ("nnAudio", "Gammatonegram", "nnAudio.features:Gammatonegram", (SPEECH_MONO,),
         {"sr": 16000, "verbose": False}),
        ("nnAudio", "MelSpectrogram", "nnAudio.features:MelSpectrogram", (SPEECH_MONO,),
         {"sr": 16000, "verbose": False}),
        ("openunmix", "STFT and ISTFT", "builders:stft_of_openunmix", (STEREO_SECOND,), {}),
        ("speechbrain", "Fbank", "speechbrain.lobes.features:Fbank", (SPEECH_MONO,), {}),
        ("speechbrain", "STFT and ISTFT", "builders:stft_of_speechbrain", (SPEECH_MONO,), {}),
        ("torch-mdct", "MDCT and IMDCT", "builders:mdct", (SPEECH,), {}),
        ("torchaudio", "Spectrogram and InverseSpectrogram", "builders:spectrogram_of_torchaudio", (SECOND,),
         {}),
        ("torchaudio", "MelSpectrogram", "torchaudio.transforms:MelSpectrogram", (SECOND,),
         {"sample_rate": 44100, "n_fft": 2048}),
        ("torchaudio", "MFCC", "torchaudio.transforms:MFCC", (SPEECH_MONO,), {"sample_rate": 16000}),
        ("torchaudio", "Resample", "torchaudio.transforms:Resample", (SECOND,),
         {"orig_freq": 44100, "new_freq": 16000}),
        ("torchaudio", "TimeStretch", "builders:time_stretch", (SPEECH_MONO,), {}),
        ("torchlibrosa", "STFT and ISTFT", "builders:stft_of_torchlibrosa", (SPEECH_MONO,), {}),
    )
)  # fmt: skip

ENTRIES: Mapping[str, Entry] = {entry.key: entry for entry in (*NETWORKS, *TRANSFORMS)}

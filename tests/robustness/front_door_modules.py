"""Modules that trouble a compiler before it looks at an operator: attributes, caches, copies, precisions."""

import functools
import io
import threading
from collections.abc import Callable
from typing import Any

import torch
from module_cases import ModuleCases
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

CASES = ModuleCases()


# Attributes that mean something to a Demucs, on modules that are none.


@CASES.add((1, 1, 8192))
class Spectrogram(nn.Module):
    """``hop_length`` without layers of Demucs beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.hop_length = 256
        self.register_buffer("window", torch.hann_window(1024))

    def forward(self, x: Tensor) -> Tensor:
        z = torch.stft(x[:, 0], 1024, self.hop_length, window=self.window, return_complex=True)
        return z.abs()


@CASES.add((1, 1, 8192))
class Codec(Spectrogram):
    """An ``encoder`` that is no list of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.encoder(x))


@CASES.add((1, 2, 4096))
class NamedLikeDemucs(nn.Module):
    """Another package's HDemucs: methods and attributes of the same names, and other contents."""

    def __init__(self) -> None:
        super().__init__()
        self.nfft, self.hop_length, self.hybrid = 512, 128, True
        self.sparse = self._wiener = True
        self.segment, self.samplerate, self.audio_channels = "ten", 8000.5, [2]
        self.sources = nn.ModuleList([nn.Conv1d(2, 4, 1)])
        self.register_buffer("window", torch.hann_window(512))

    def _spec(self, x: Tensor) -> Tensor:
        z = torch.stft(x.flatten(0, 1), self.nfft, self.hop_length, window=self.window, return_complex=True)
        return z.unflatten(0, x.shape[:2])

    def _ispec(self, z: Tensor, length: int) -> Tensor:
        x = torch.istft(z.flatten(0, 1), self.nfft, self.hop_length, window=self.window, length=length)
        return x.unflatten(0, z.shape[:2])

    def forward(self, x: Tensor) -> Tensor:
        return self.sources[0](self._ispec(self._spec(x) * 0.5, x.shape[-1]))


# Weights.


@CASES.add((1, 3, 4))
class ScalarWeight(nn.Module):
    """A weight of shape [1] used as a number of shape []."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale.reshape(()).unsqueeze(0).expand(4)


@CASES.add((1, 3, 4))
class SqueezedWeight(ScalarWeight):
    """The same by squeezing, and a weight that is a number from the start."""

    def __init__(self) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.tensor(0.25))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale.squeeze() + self.number.expand(4) + self.number.reshape(1, 1, 1)


# Caches and states.


class Rotary(nn.Module):
    """A buffer that the first call fills, as far as that call needs it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("cached", torch.zeros(1024, 8), persistent=False)
        self.filled = 0

    def forward(self, x: Tensor) -> Tensor:
        steps = x.shape[-2]
        if steps > self.filled:
            self.cached[:steps] = torch.outer(torch.arange(steps).float(), torch.arange(8).float()).detach()
            self.filled = steps
        return x * self.cached[:steps].cos()


class RotaryLayer(nn.Module):
    def __init__(self, rotary: Rotary) -> None:
        super().__init__()
        self.rotary, self.linear = rotary, nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.rotary(x))


@CASES.add((1, 16, 8))
@CASES.add((1, 16, 8), used=True)
def one_cache_for_two_layers() -> nn.Module:
    rotary = Rotary()
    return nn.Sequential(RotaryLayer(rotary), RotaryLayer(rotary))


@CASES.add((1, 3, 8))
@CASES.add((1, 3, 8), used=True)
class PackedWeights(nn.Module):
    """What is packed from the weights, kept in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.cache: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if "weights" not in self.cache:
            self.cache["weights"] = torch.stack([part.weight for part in self.parts])
        return torch.einsum("bci,koi->bcko", x, self.cache["weights"])


@functools.lru_cache
def table(size: int) -> Tensor:
    return torch.linspace(0.1, 1, size)


@CASES.add((1, 3, 24))
class CacheOutside(nn.Module):
    """A cache of the Python module's, which no copy of the module has to itself."""

    def forward(self, x: Tensor) -> Tensor:
        return x * table(x.shape[-1])


@CASES.add((1, 3, 8))
class RunningMean(nn.Module):
    """A state: each call gives something else. The graph is the first call on the module as it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor | float = 0.0

    def forward(self, x: Tensor) -> Tensor:
        self.mean = 0.5 * self.mean + x.mean()
        return x - self.mean


@CASES.add((1, 3, 8))
class CountsItsCalls(nn.Module):
    """A state in a buffer that no input reaches, as the step of a schedule."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


@CASES.add((1, 3, 8))
class ReturnsItsState(nn.Module):
    """A state that is the output as well, so that each call writes over what the one before returned."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("sum", torch.zeros(1, 3, 8))

    def forward(self, x: Tensor) -> Tensor:
        self.sum += x
        return self.sum


@CASES.add((1, 3, 8))
class KeepsItsFeatures(nn.Module):
    """A list that every call makes longer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.features = nn.Linear(8, 8), []

    def forward(self, x: Tensor) -> Tensor:
        self.features.append(self.linear(x))
        return self.features[-1] * 2


@CASES.add((1, 3, 8))
class WritesToPlainTensor(nn.Module):
    """Memory that the module holds and that is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.scratch = nn.Linear(8, 8), torch.zeros(3, 8)

    def forward(self, x: Tensor) -> Tensor:
        self.scratch[1:] = x[0, 1:]
        return self.linear(self.scratch)


# Decisions that no input reaches.


@CASES.add((1, 1, 256))
class BranchOnAConstant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(64))

    def forward(self, x: Tensor) -> Tensor:
        envelope = self.window.repeat(x.shape[-1] // 64)
        if (envelope.abs() < 1e-11).any():
            envelope = envelope + 1
        return x / envelope


@CASES.add((1, 2, 64))
@CASES.add((1, 2, 64), batch="dynamic")
class NumbersFromTensors(nn.Module):
    """A list of axes and a length by way of tensors, and a weight that says which layer runs."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(2))
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        axes = torch.arange(1, x.ndim).tolist()
        kept = int(torch.tensor([3, 40]).max())
        layer = self.layers[0] if self.gain > 0 else self.layers[1]
        return layer(x - x.mean(dim=axes, keepdim=True))[..., :kept]


# Sizes that stay open.


@CASES.add((1, 256), length="dynamic")
@CASES.add((1, 256), length="dynamic", batch="dynamic")
class Mono(nn.Module):
    """``[batch, samples]``, as most speech models take it."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Conv1d(1, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x[:, None])


@CASES.add(
    (1, 256),
    error="torch.export cannot trace FixedLength: Constraints violated (samples)! You marked samples as "
    "dynamic but your code specialized it to be a constant (256); give a number",
    length="dynamic",
)
class FixedLength(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.ones(256)


# Modules that cannot be deep-copied.


@CASES.add((1, 1, 256))
@CASES.add((1, 1, 256), used=True)
class WeightNormed(nn.Module):
    """``torch.nn.utils.weight_norm`` leaves a weight that was computed."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.utils.weight_norm(nn.Conv1d(1, 16, 7, padding=3))
        self.b = nn.utils.weight_norm(nn.ConvTranspose1d(16, 1, 4, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.b(torch.sin(self.a(x))))


@CASES.add((1, 1, 256))
class SpectralNormed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.utils.spectral_norm(nn.Conv1d(1, 16, 7, padding=3))
        self.b = nn.utils.parametrizations.spectral_norm(nn.Conv1d(16, 16, 1))
        self.c = nn.utils.parametrizations.weight_norm(nn.Conv1d(16, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.b(self.a(x)))


@CASES.add((1, 6, 8))
def weight_normed_lstm() -> nn.Module:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.utils.weight_norm(nn.LSTM(8, 8, batch_first=True), "weight_hh_l0")

        def forward(self, x: Tensor) -> Tensor:
            return self.lstm(x)[0]

    return Net()


@CASES.add((1, 3, 8))
class HoldsWhatHasNoCopy(nn.Module):
    """A lock, a file, a generator, a Python module, and functions that know the module."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.normed = nn.utils.weight_norm(nn.Linear(8, 8))
        self.lock, self.file, self.torch = threading.Lock(), io.TextIOWrapper(io.BytesIO()), torch
        self.numbers, self.random = (number for number in range(3)), torch.Generator()
        self.layers = {"lock": threading.RLock(), "layer": self.linear}
        self.twice = lambda x: 2 * self.normed(x)
        self.bound = self.linear.forward

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            return self.bound(x) + self.twice(x) + self.torch.sin(x)


@CASES.add((1, 3, 8))
class ComputedTensor(nn.Module):
    """A tensor with a history as an attribute, alone and in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.square = self.linear.weight @ self.linear.weight
        self.pair = [self.square + 1, self.square]

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.square + x @ self.pair[0]


# Outputs.


@CASES.add((1, 1, 64))
class VoiceActivity(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x * 2, x.abs() > 0.01


@CASES.add((1, 4, 64))
class WholeNumbersAlone(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"loudest": x.argmax(-1), "bytes": (x.clamp(-1, 1) * 100 + 100).round().to(torch.uint8)}


@CASES.add((1, 8))
class GivesItsWeight(nn.Module):
    """A weight that is an output beside being used in another layout."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> tuple[Tensor, None, Tensor]:
        return self.linear(x), None, self.linear.weight


@CASES.add((1, 8))
class GivesPartsOfItsWeights(nn.Module):
    """A weight transposed and another cut in two, which are outputs and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.turned, self.cut = nn.Parameter(torch.randn(4, 8)), nn.Parameter(torch.randn(4, 8))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return x * 2, self.turned.t(), *self.cut.split(2)


TWICE = torch.linspace(-0.1, 0.1, 24).reshape(1, 3, 8)


@CASES.add(TWICE, TWICE)
class TakesTwo(nn.Module):
    """One tensor given twice, which torch.export takes for one input."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x - 2 * y


# Precisions.


@CASES.add((1, 3, 8))
class MakesFloat(nn.Module):
    """Back to float32 in the middle, where nothing fails: the reference would only be less exact."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear(x).float().softmax(-1)


@CASES.add((1, 3, 8))
class FloatIntoLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.float() * 2)


@CASES.add((1, 3, 8))
class PlainTensor(nn.Module):
    """A table that is no buffer, so that ``double()`` leaves it as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = torch.rand(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.bank


@CASES.add((1, 3, 8))
class Scratch(nn.Module):
    """Memory of a precision that nobody names, written in parts."""

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros(x.shape)
        out[:, 0] = x[:, 0] * 2
        return out + x


@CASES.add((1, 3, 8), min_snr_db=50.0)
class HalfInTheMiddle(nn.Module):
    """Half precision on purpose, which the reference rounds to as well."""

    def forward(self, x: Tensor) -> Tensor:
        return x + x.half().float() * 2


@CASES.add((1, 3, 8))
def in_half_precision() -> nn.Module:
    return nn.Linear(8, 8).half()


# What is refused, each in its line.

NO_PYTHON = (
    "is TorchScript (Conv1d), which has no Python left to trace; give the nn.Module that it was made from"
)
HERE = "raised at front_door_modules.py:…"


@CASES.add((1, 1, 32), error=f"RecursiveScriptModule {NO_PYTHON}")
def scripted() -> nn.Module:
    return torch.jit.script(nn.Conv1d(1, 1, 3))


@CASES.add((1, 1, 32), error=f"Sequential {NO_PYTHON}")
def traced_inside() -> nn.Module:
    return nn.Sequential(torch.jit.trace(nn.Conv1d(1, 1, 3), torch.zeros(1, 1, 32)))


@CASES.add(
    (1, 1, 256),
    error="the numbers of an input decide what runs, and a graph runs the same for all inputs; the model "
    "calls it at front_door_modules.py:…: return self.bank[0] if x.mean() > 0 else x",
)
class BranchOnData(PackedWeights):
    """The trace leaves tensors without numbers in the cache of its copy, and the message is the trace's."""

    def forward(self, x: Tensor) -> Tensor:
        self.cache["bank"] = x * 2
        self.bank = [x * 2]
        return self.bank[0] if x.mean() > 0 else x


@CASES.add((1, 2, 64))
class EllipsesOfTwoLengths(nn.Module):
    """An Einsum that ONNX has no form for."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("...ij,jk->...ik", x, x[0].mT)


@CASES.add((1, 2, 64))
class ChecksItsInput(nn.Module):
    """Branches on numbers of an input that can only raise."""

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (4, 4), "reflect")
        assert (padded[..., 4:-4] == x).all()
        if (
            x.abs()  # a condition of several lines
            > 1e6
        ).any():
            raise ValueError("too loud")
        return 2 * padded


@CASES.add(
    (1, 2, 64),
    error="the numbers of an input decide what runs, and a graph runs the same for all inputs; the model "
    "calls it at front_door_modules.py:…: if x.mean() > 2:",
)
class RaisesOrNot(nn.Module):
    """A branch of an input that raises, and has another side."""

    def forward(self, x: Tensor) -> Tensor:
        if x.mean() > 2:
            raise ValueError("too loud")
        else:
            return 2 * x


@CASES.add((1, 1, 64), error=f"torch.export cannot trace CallsNumPy: …; {HERE}: return torch.from_numpy(…")
class CallsNumPy(nn.Module):
    """What neither a trace nor an example helps with."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(x.numpy() * 2)


class Returning(nn.Module):
    def __init__(self, result: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.result = result

    def forward(self, x: Tensor) -> Any:
        return self.result(x)


TENSORS_ALONE = "and a graph returns tensors only; leave the rest out"


@CASES.add((1, 8), error=f"Returning returns NoneType {TENSORS_ALONE}")
def nothing() -> nn.Module:
    return Returning(lambda _: None)


@CASES.add((1, 8), error=f"Returning returns float {TENSORS_ALONE}")
def a_number_beside() -> nn.Module:
    return Returning(lambda x: (x * 2, 0.5))


@CASES.add((1, 8), error="Returning returns a tensor that NumPy does not have (…BFloat16); return float32")
def bfloat16() -> nn.Module:
    return Returning(Tensor.bfloat16)


@CASES.add(
    torch.ones(1, 8, dtype=torch.complex64),
    error="Returning takes a complex tensor, which ONNX Runtime does not; let it take the real view, and "
    "call torch.view_as_complex in forward",
)
def complex_input() -> nn.Module:
    return Returning(Tensor.abs)


@CASES.add(
    (1, 8),
    error="the model returns a complex tensor, which ONNX cannot carry; return torch.view_as_real of it",
)
def complex_output() -> nn.Module:
    return Returning(lambda x: torch.complex(x, x))


@CASES.add((1, 8), error="Linear cannot be copied (Cannot copy out of meta tensor; no data!…")
def without_numbers() -> nn.Module:
    return nn.Linear(8, 8, device="meta")


@CASES.add((1, 8), error="LazyLinear cannot be copied (Attempted to use an uninitialized parameter…")
def not_yet_made() -> nn.Module:
    return nn.LazyLinear(4, bias=False)


@CASES.add(
    (1, 3, 8),
    error="PackedWeights keeps a tensor without numbers, which an earlier torch.export left in it; build the "
    "module again",
)
def exported_before() -> nn.Module:
    module = PackedWeights()
    with FakeTensorMode():
        module.cache["weights"] = torch.ones(3, 8, 8)
    return module


@CASES.add(
    (1, 1, 255),
    error=f"LostInForward: forward fails on float32 [1, 1, 255] (…; {HERE}: return x.view(-1, 2)); "
    "give what it takes as example_input",
)
class LostInForward(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.view(-1, 2)

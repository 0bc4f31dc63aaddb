"""Modules as people write them, and what comes of compiling each: a faithful graph or one line."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from onnx_demucs_compiler import CompiledModel, compile
from onnx_demucs_compiler.loading import make_lively

Build = Callable[[], nn.Module]
Example = tuple[int, ...] | Tensor


@dataclass(frozen=True)
class ModuleCase:
    """A module, what it takes, and what is to come of it.

    Attributes:
        build: the class, or a function that makes the module.
        examples: what it takes: float32 noise of a shape, or a tensor as it is.
        error: the line it is refused with; ``…`` stands for what another library says. None if it compiles.
        min_snr_db: what its graph has to reach against PyTorch in float32.
        used: run it once, with gradients, before it is compiled.
        options: of ``compile``.
    """

    build: Build
    examples: tuple[Example, ...]
    error: str | None = None
    min_snr_db: float = 100.0
    used: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def module(self) -> nn.Module:
        """The module with lively weights, in eval mode, the same at every call."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = self.build().eval()
        make_lively(module, seed=0)
        if self.used:
            module(*self.inputs())
        return module

    def inputs(self) -> tuple[Tensor, ...]:
        """What the module takes, the same at every call."""
        generator = torch.Generator().manual_seed(1)
        return tuple(
            example if isinstance(example, Tensor) else 0.1 * torch.randn(example, generator=generator)
            for example in self.examples
        )

    def compile(self, module: nn.Module) -> CompiledModel:
        """Compile the module on its inputs."""
        return compile(module, example_input=self.inputs(), **self.options)


class ModuleCases(dict[str, ModuleCase]):
    """Cases by name: the class's or function's, and the options that are not the default."""

    def add(
        self,
        *examples: Example,
        error: str | None = None,
        min_snr_db: float = 100.0,
        used: bool = False,
        **options: Any,
    ) -> Callable[[Build], Build]:
        """Add the decorated class or function as a case; several of these decorators make several cases."""

        def added(build: Build) -> Build:
            words = ["used"] * used + [f"{name}={value}" for name, value in options.items()]
            name = "-".join([build.__name__, *words])
            assert name not in self, f"two cases are called {name}"
            self[name] = ModuleCase(build, examples, error, min_snr_db, used, options)
            return build

        return added

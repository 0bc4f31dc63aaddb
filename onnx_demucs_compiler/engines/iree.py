"""IREE, a compiler.

It makes code for any processor of its kind, not for this one, unless told to. Weights go to a file of their
own: as part of the code those of a full model are more than it can take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.engines.engine import Engine

if TYPE_CHECKING:
    from onnx_demucs_compiler.engines.engine import Arrays, Outputs, Run, Task

RELEASE = "3.13.0"
SETTINGS = {"--iree-llvmcpu-target-cpu": "host"}


def open_model(task: Task) -> Run:
    """Compile a file, and open what comes of it on the CPU."""
    from iree import runtime
    from iree.compiler import tools
    from iree.compiler.tools.import_onnx import __main__ as importer

    imported, weights = task.converted.with_suffix(".mlir"), task.converted.with_suffix(".irpa")
    apart = ["--externalize-params", "--save-params-to", str(weights)]
    importer.main(importer.parse_arguments([str(task.model), "-o", str(imported), *apart]))
    options = [f"{name}={value}" for name, value in SETTINGS.items()]
    tools.compile_file(
        str(imported), output_file=str(task.converted), target_backends=["llvm-cpu"], extra_args=options
    )
    imported.unlink()
    device = runtime.get_driver("local-task" if task.threads > 1 else "local-sync").create_default_device()
    context = runtime.SystemContext(config=runtime.Config(device=device))
    index = runtime.ParameterIndex()
    index.load(str(weights))
    parameters = runtime.create_io_parameters_module(context.instance, index.create_provider("model"))
    module = runtime.VmModule.mmap(context.instance, str(task.converted))
    context.add_vm_modules([parameters, module])
    [name] = [name for name in module.function_names if "$" not in name and not name.startswith("__")]
    function = context.modules[module.name][name]

    def run(feeds: Arrays) -> Outputs:
        results = function(*(feeds[name] for name in task.shapes))
        listed = results if isinstance(results, (list, tuple)) else [results]
        return [result.to_host() for result in listed]

    return run


ENGINE = Engine(
    "iree",
    ("iree-base-compiler",),
    (f"iree-base-compiler[onnx]=={RELEASE}", f"iree-base-runtime=={RELEASE}"),
    open_model,
    SETTINGS,
)

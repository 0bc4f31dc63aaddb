"""The dnn module of OpenCV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.engines.engine import Engine

if TYPE_CHECKING:
    from onnx_demucs_compiler.engines.engine import Arrays, Outputs, Run, Task

PACKAGES = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)


def open_model(task: Task) -> Run:
    """Open a file on the CPU."""
    import cv2

    cv2.setNumThreads(task.threads)
    net = cv2.dnn.readNetFromONNX(str(task.model))

    def run(feeds: Arrays) -> Outputs:
        for name, value in feeds.items():
            net.setInput(value, name)
        return list(net.forward(list(task.outputs)))

    return run


ENGINE = Engine("opencv", PACKAGES, ("opencv-python-headless==5.0.0.93",), open_model)

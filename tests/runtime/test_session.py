"""The options a session gets."""

from pathlib import Path

from onnx_demucs_compiler.runtime import session


def test_defaults(artifact: Path) -> None:
    options = session.create_session(artifact, threads=3).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert not options.enable_mem_pattern

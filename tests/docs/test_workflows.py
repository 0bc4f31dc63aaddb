"""The workflows call commands with options that exist, and scripts that are there."""

import shlex
from pathlib import Path
from string import Template

import pytest
import typer
import yaml

from onnx_demucs_compiler.cli import app

ROOT = Path(__file__).parents[2]
COMMAND_LINE = typer.main.get_command(app)
INPUTS = {"MODEL": "htdemucs", "TARGET": "ort", "PRECISION": "fp16-weights"}
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def lines(workflow: Path) -> list[str]:
    """The shell lines of every step, continued ones joined."""
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"].values()
    scripts = [step["run"].replace("\\\n", " ") for job in jobs for step in job["steps"] if "run" in step]
    return [line for script in scripts for line in script.splitlines()]


def test_there_are_workflows() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "nightly.yml", "platforms.yml", "release.yml"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_commands_parse(workflow: Path) -> None:
    for line in lines(workflow):
        if line.startswith("onnx-demucs "):
            _, command, *arguments = shlex.split(Template(line).safe_substitute(INPUTS))
            COMMAND_LINE.commands[command].make_context(command, arguments)
        elif line.startswith("."):
            assert (ROOT / line).is_file()

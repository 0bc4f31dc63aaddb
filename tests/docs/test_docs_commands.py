"""Commands in the documentation can be typed as they stand, and docs/cli.md lists every option."""

import re

import pytest
import typer
from markdown_blocks import DOCUMENTS, ROOT, Block, blocks, commands

from onnx_demucs_compiler.cli import COMMANDS, app
from onnx_demucs_compiler.contracts import CONTRACTS

COMMAND_LINE = typer.main.get_command(app)
SHELL_BLOCKS = [block for document in DOCUMENTS for block in blocks(document, "sh")]
OPTION = re.compile(r"--[a-z][a-z0-9-]*|(?<![\w-])-[a-z](?![\w-])")


def options(command: str) -> set[str]:
    parameters = COMMAND_LINE.commands[command].params
    return {name for parameter in parameters for name in parameter.opts if name.startswith("-")}


@pytest.mark.parametrize("block", SHELL_BLOCKS, ids=str)
def test_commands_parse(block: Block) -> None:
    for command, *arguments in commands(block):
        COMMAND_LINE.commands[command].make_context(command, arguments)


@pytest.mark.parametrize("block", SHELL_BLOCKS, ids=str)
def test_make_targets_exist(block: Block) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for target in re.findall(r"^make ([\w-]+)$", block.text, re.MULTILINE):
        assert target in targets


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_documented_and_exists(command: str) -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`-.*?) \|", section, re.MULTILINE)
    assert {name for cell in cells for name in OPTION.findall(cell)} == options(command)


def test_options_named_in_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    own = {name for command in COMMANDS for name in options(command)}
    named = set(re.findall(r"`(--[a-z-]+)[ `]", text))
    assert named
    assert named <= own


def test_every_contract_is_named() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    [row] = [line for line in text.splitlines() if line.startswith("| `--contract NAME`")]
    [told] = [option.help for option in COMMAND_LINE.commands["verify"].params if option.name == "contract"]
    for name in CONTRACTS:
        assert f"`{name}`" in row
        assert name in told

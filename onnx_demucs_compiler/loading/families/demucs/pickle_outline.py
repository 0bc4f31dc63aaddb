"""The outline of a pickle from its opcodes, without making anything."""

from itertools import islice
from pathlib import Path
from pickletools import OpcodeInfo, genops, markobject
from typing import IO, Any

from onnx_demucs_compiler.loading.families.demucs.unpickling import Named, pickles_in

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # of torch.save before its files were archives
_MARK = object()


class Made:
    """An object that a pickle would make by a call.

    Attributes:
        maker: What it would call, with its module; ``""`` where the pickle does not say.
        state: What the object would be restored with, None where nothing is.
    """

    def __init__(self, maker: str) -> None:
        self.maker = maker
        self.state: Any = None

    @property
    def is_tensor(self) -> bool:
        """True if PyTorch would make a tensor of it."""
        return self.maker.startswith("torch.") and "._rebuild_" in self.maker

    @property
    def is_module(self) -> bool:
        """True if it would be restored as a torch module is."""
        return isinstance(self.state, dict) and {"_modules", "_parameters"} <= self.state.keys()


def outline_of(path: Path) -> Any:
    """The outline of a ``torch.save`` file.

    It has dicts, tuples, texts and numbers, :class:`Made` and ``Named``.

    Lists are empty, and of dicts only what has a text as its key is there.

    Raises:
        Exception: Of any kind, if the file is damaged.
    """
    outlines = map(_outline, pickles_in(path))
    first = next(outlines)
    return next(islice(outlines, 2, None)) if first == _MAGIC_NUMBER else first


def _outline(pickled: IO[bytes]) -> Any:
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    for opcode, argument, _ in genops(pickled):
        if opcode.name == "STOP":
            break
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else argument] = stack[-1]
        elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        else:
            stack += _put(opcode, argument, _taken(stack, opcode))
    return stack[-1]


def _taken(stack: list[Any], opcode: OpcodeInfo) -> list[Any]:
    """The items an opcode takes off the stack, the lowest first."""
    above: list[Any] = []
    count = len(opcode.stack_before)
    if markobject in opcode.stack_before:
        while (top := stack.pop()) is not _MARK:
            above.append(top)
        count = opcode.stack_before.index(markobject)
    below = [stack.pop() for _ in range(count)]
    return below[::-1] + above[::-1]


def _put(opcode: OpcodeInfo, argument: Any, taken: list[Any]) -> list[Any]:
    """The items an opcode puts on the stack."""
    match opcode.name:
        case "MARK":
            return [_MARK]
        case "GLOBAL":
            return [_named(argument)]
        case "STACK_GLOBAL":
            return [Named(".".join(map(str, taken)))]
        case "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
            return [tuple(taken)]
        case "EMPTY_DICT":
            return [{}]
        case "DICT":
            return [_filled({}, taken)]
        case "SETITEM" | "SETITEMS":
            return [_filled(taken[0], taken[1:])]
        case "BUILD":
            if isinstance(taken[0], Made):
                taken[0].state = taken[1]
            return taken[:1]
        case "APPEND" | "APPENDS" | "ADDITEMS":
            return taken[:1]
        case "PERSID" | "BINPERSID":
            return [Made("")]
        case "DUP":
            return taken * 2
        case "INST":
            return [_made(_named(argument))]
        case "REDUCE" | "NEWOBJ" | "NEWOBJ_EX" | "OBJ":
            return [_made(taken[0])]
    return [argument] * len(opcode.stack_after)


def _filled(made: Any, items: list[Any]) -> Any:
    if isinstance(made, dict):
        pairs = zip(items[::2], items[1::2], strict=True)
        made |= {key: value for key, value in pairs if isinstance(key, str)}
    return made


def _named(argument: str) -> Named:
    return Named(argument.replace(" ", ".", 1))


def _made(maker: Any) -> Any:
    name = maker.path if isinstance(maker, Named) else ""
    return {} if name == "collections.OrderedDict" else Made(name)

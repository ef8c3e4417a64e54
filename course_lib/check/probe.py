"""A probe asks a student's object one question; the reply is what came back.

A :class:`Probe` says: take the object of this name, build it with these arguments if it is a class,
copy these weights into it, call it on these values, and return the output and, where asked, the
gradients. :func:`execute` answers a probe. It runs in the student's notebook (for ``check``) and in
the grading sandbox; it holds no expected value and knows no answer.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib.check.values import Code, Seed, ValueRefused, type_name

PACKAGE = str(Path(__file__).resolve().parents[1])
MAX_MESSAGE = 600
SCALARS = {type(None), bool, int, float, str}
PLAIN = SCALARS | {torch.Tensor, Code, Seed}
DTYPES = {"float64": torch.float64, "float32": torch.float32}


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One question to one object.

    Attributes:
        target: name of the object in the student's namespace.
        args, kwargs: what it is called with (for a class: what its instance is called with).
        init: keyword arguments of the constructor; ``None`` where the target is a function.
        state: weights by name, copied with ``load_state_dict`` so that seeds never matter.
        method: which method of the instance to call.
        gradients: names of arguments (``"0"``, ``"1"`` … for positional ones, else the keyword) and, as
            ``"state"``, of all weights, to differentiate the output by.
        seed: of the global generator and of the cotangent that the output is multiplied with before
            it is differentiated.
        dtype: name of PyTorch's default dtype during the call, and of the module's weights. In float32 an answer
            that computes angles in float32 is as right as one that computes them in float64.
        watch: also report the largest tensor made on the way, the multiplications and the PyTorch operations used.
        room_bytes: ask in a process of its own that has room for so many bytes beside what it begins with. Only
            the grader's runner does so; a notebook has memory for all.
        seconds: wall time after which the runner stops the call.
    """

    target: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    init: Mapping[str, Any] | None = None
    state: Mapping[str, torch.Tensor] | None = None
    method: str = "__call__"
    gradients: tuple[str, ...] = ()
    seed: int = 0
    dtype: str = "float64"
    watch: bool = False
    room_bytes: int | None = None
    seconds: float = 10.0

    def to_value(self) -> dict[str, Any]:
        """The probe as a value that :func:`course_lib.check.values.pack` accepts."""
        named = (name for name in self.__dataclass_fields__ if name != "room_bytes" or self.room_bytes is not None)
        return {name: _as_plain(getattr(self, name)) for name in named}

    @classmethod
    def from_value(cls, value: Mapping[str, Any]) -> Probe:
        """The probe that :meth:`to_value` described."""
        return cls(**value)


@dataclass(frozen=True)
class Frame:
    """One line of a student's own code on the way to an error."""

    function: str
    line: int
    text: str


@dataclass(frozen=True)
class Failure:
    """Why a probe has no output.

    ``kind`` is one of ``missing`` (no such name), ``not_written`` (NotImplementedError), ``raised``,
    ``state`` (the weights do not fit the module), ``refused`` (a return value that cannot be read),
    ``too_large`` (it did not do with the room that the probe gave), ``timeout``, ``memory``, ``died`` (the last four
    are the runner's verdicts).
    """

    kind: str
    type: str = ""
    message: str = ""
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True)
class Reply:
    """What came back: an output with its gradients and measures, or a failure."""

    output: Any = None
    gradients: Mapping[str, torch.Tensor | None] = field(default_factory=dict)
    failure: Failure | None = None
    largest: int | None = None
    operations: tuple[str, ...] = ()
    multiplications: int | None = None

    def to_value(self) -> dict[str, Any]:
        """The reply as a value that :func:`course_lib.check.values.pack` accepts."""
        value: dict[str, Any] = {
            "output": self.output,
            "gradients": dict(self.gradients),
            "failure": None if self.failure is None else _as_plain(asdict(self.failure)),
            "largest": self.largest,
            "operations": list(self.operations),
        }
        return value if self.multiplications is None else value | {"multiplications": self.multiplications}

    @classmethod
    def from_value(cls, value: Any) -> Reply:
        """The reply that :meth:`to_value` described.

        Raises:
            ValueRefused: the value is not the description of a reply.
        """
        try:
            failure = value["failure"]
            if failure is not None:
                frames = tuple(Frame(str(f["function"]), int(f["line"]), str(f["text"])) for f in failure["frames"])
                failure = Failure(str(failure["kind"]), str(failure["type"]), str(failure["message"]), frames)
            gradients = dict(value["gradients"])
            if not all(g is None or isinstance(g, torch.Tensor) for g in gradients.values()):
                raise ValueRefused("a reply whose gradients are not tensors")
            largest = None if value["largest"] is None else int(value["largest"])
            operations = tuple(map(str, value["operations"]))
            made = value.get("multiplications")  # left out where nothing was watched
            return cls(value["output"], gradients, failure, largest, operations, None if made is None else int(made))
        except ValueRefused:
            raise
        except Exception as error:
            raise ValueRefused(f"a reply that cannot be read ({type(error).__name__})") from error


def execute(probe: Probe, namespace: Mapping[str, Any]) -> Reply:
    """Answer a probe from the objects in ``namespace``. Errors of the student's code become a failure."""
    if probe.target not in namespace:
        return Reply(failure=Failure("missing", message=f"{probe.target} is not defined"))
    target = namespace[probe.target]
    default_dtype = torch.get_default_dtype()
    random_state = torch.get_rng_state()
    torch.set_default_dtype(DTYPES[probe.dtype])
    torch.default_generator.manual_seed(probe.seed)  # torch.manual_seed goes through every kind of device, slowly
    try:
        with torch.enable_grad():
            return _answer(probe, target)
    except NotImplementedError as error:
        return Reply(failure=Failure("not_written", "NotImplementedError", _clip(error), student_frames(error)))
    except ValueRefused as error:
        return Reply(failure=Failure("refused", "ValueRefused", _clip(error)))
    except MemoryError as error:
        return Reply(failure=Failure("memory", "MemoryError", _clip(error), student_frames(error)))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return Reply(failure=Failure("raised", type_name(type(error)), _clip(error), student_frames(error)))
    finally:
        torch.set_default_dtype(default_dtype)
        torch.set_rng_state(random_state)


def _answer(probe: Probe, target: Any) -> Reply:
    args = [_prepare(value) for value in probe.args]
    kwargs = {name: _prepare(value) for name, value in probe.kwargs.items()}
    weights: dict[str, torch.Tensor] = {}
    call = target
    if probe.init is not None:
        instance = target(**{name: _prepare(value) for name, value in probe.init.items()})
        if isinstance(instance, torch.nn.Module):
            instance = instance.to(DTYPES[probe.dtype]).eval()
            weights = dict(instance.named_parameters())
        if probe.state is not None and (problem := _load(instance, probe.state)):
            return Reply(failure=Failure("state", message=problem))
        call = getattr(instance, probe.method)

    by_name: dict[str, torch.Tensor] = {str(i): value for i, value in enumerate(args)} | kwargs
    wanted: dict[str, torch.Tensor] = {}
    for name in probe.gradients:
        if name == "state":
            wanted.update(weights)
        else:
            wanted[name] = by_name[name].requires_grad_(True)

    watcher = Watcher()
    if probe.watch:
        with watcher:
            output = call(*args, **kwargs)
    else:
        output = call(*args, **kwargs)
    gradients = _differentiate(output, wanted, probe.seed) if wanted else {}
    return Reply(
        _detach(output),
        gradients,
        largest=watcher.largest if probe.watch else None,
        operations=tuple(sorted(watcher.operations)),
        multiplications=watcher.multiplications if probe.watch else None,
    )


FIRST_FACTOR = {"dot": 0, "mv": 0, "mm": 0, "bmm": 0, "addmv": 1, "addmm": 1, "baddbmm": 1}
"""Matrix products, and which argument's last axis is summed over for each entry of the result."""


class Watcher(TorchDispatchMode):
    """Notes the largest tensor that any PyTorch operation makes, how often numbers are multiplied, and what ran.

    Multiplications are those of matrix products and of products entry by entry.
    """

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0
        self.multiplications = 0
        self._called: dict[Any, str] = {}

    @property
    def operations(self) -> set[str]:
        """Names of the operations, without the variant that was chosen by the arguments."""
        return set(self._called.values())

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here; True would import torch's compiler, which takes seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = self._called.get(func)
        if name is None:
            name = self._called[func] = _plain_name(func)
        name = name.rstrip("_")  # in place or not
        if name == "mul":
            self.multiplications += out.numel()
        elif name in FIRST_FACTOR:
            self.multiplications += out.numel() * args[FIRST_FACTOR[name]].shape[-1]
        for item in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(item, torch.Tensor):
                self.largest = max(self.largest, item.untyped_storage().nbytes() // max(item.element_size(), 1))
        return out


def _plain_name(operation: Any) -> str:
    return str(operation).removeprefix("aten.").split(".")[0]


def student_frames(error: BaseException) -> tuple[Frame, ...]:
    """The frames of a traceback that are the student's own, outermost first, at most eight."""
    library = (PACKAGE, sys.prefix, sys.base_prefix)
    frames = [
        Frame(frame.name, frame.lineno or 0, (frame.line or "").strip()[:200])
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(library) and not frame.filename.startswith(("<frozen", "<given>"))
    ]
    return tuple(frames[-8:])


def _clip(error: BaseException) -> str:
    try:
        text = str.__str__(str(error))  # plain, even where an error's text is of a class of its own
    except Exception:
        text = ""
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def _as_plain(value: Any) -> Any:
    if type(value) in PLAIN:
        return value
    if isinstance(value, Mapping):
        return {name: _as_plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_as_plain(item) for item in value)
    return value


def _prepare(value: Any) -> Any:
    """A fresh copy of an argument, so that a call that changes it in place changes nothing else."""
    if type(value) in SCALARS:
        return value
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, Code):
        scope: dict[str, Any] = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional}
        exec(compile(value.source, "<given>", "exec"), scope)
        return scope[value.name]
    if isinstance(value, Seed):
        return torch.Generator().manual_seed(value.value)
    if isinstance(value, (list, tuple)):
        return type(value)(_prepare(item) for item in value)
    if isinstance(value, Mapping):
        return {name: _prepare(item) for name, item in value.items()}
    return value


def _load(instance: Any, state: Mapping[str, torch.Tensor]) -> str | None:
    """Copy the weights; say what does not fit, in the student's terms."""
    own = instance.state_dict() if isinstance(instance, torch.nn.Module) else {}
    missing = sorted(set(state) - set(own))
    extra = sorted({name for name, _ in instance.named_parameters()} - set(state)) if own else []  # buffers are free
    if missing or extra:
        parts = [f"it has no {', '.join(missing)}"] * bool(missing)
        parts += [f"it has {', '.join(extra)}, which the docstring does not name"] * bool(extra)
        return "; ".join(parts)
    for name, tensor in state.items():
        if own[name].shape != tensor.shape:
            return f"{name} has shape {tuple(own[name].shape)}, expected {tuple(tensor.shape)}"
    instance.load_state_dict(dict(state), strict=False)
    return None


def _differentiate(output: Any, wanted: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor | None]:
    """Gradients of the sum over the output's float tensors of output × a fixed random cotangent."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(())
    for leaf in _float_leaves(output):
        cotangent = torch.randint(-8, 9, leaf.shape, generator=generator).to(leaf.dtype) / 8
        total = total + (leaf * cotangent).sum()
    if not total.requires_grad:
        return dict.fromkeys(wanted)
    grads = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)
    return dict(zip(wanted, grads, strict=True))


def _float_leaves(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _float_leaves(item)]
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in _float_leaves(item)]
    return []


def _detach(value: Any) -> Any:
    if type(value) in (torch.Tensor, torch.nn.Parameter):
        return value.detach()
    if type(value) in (list, tuple):
        return type(value)(_detach(item) for item in value)
    if type(value) is dict:
        return {name: _detach(item) for name, item in value.items()}
    return value

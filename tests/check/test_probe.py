"""A probe calls a student's object on fresh copies, differentiates what comes back, and leaves no trace."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from course_lib.check.judge import FUSED_OPERATIONS
from course_lib.check.probe import Code, Failure, Frame, Probe, Reply, Seed, execute
from course_lib.check.values import ValueRefused, pack, unpack

X = torch.tensor([[0.3, -1.2, 0.7], [1.1, 0.4, -0.6]], dtype=torch.float64)


def answer(function: Any, *args: Any, **settings: Any) -> Reply:
    return execute(Probe(target="f", args=args, **settings), {"f": function})


class Projection(nn.Module):
    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).tanh()

    def twice(self, x: Tensor) -> Tensor:
        return 2 * self(x)


def test_the_reply_is_what_the_function_returns() -> None:
    reply = answer(lambda x, *, by: (x * by, "done"), X, kwargs={"by": 3})
    assert reply.failure is None
    assert torch.equal(reply.output[0], 3 * X)
    assert reply.output[1] == "done"


def test_arguments_are_copies_that_may_be_changed() -> None:
    kept = X.clone()
    for _ in range(2):
        reply = answer(lambda x, more: x.zero_() + more.pop(), X, [X])
        assert torch.equal(reply.output, kept)
    assert torch.equal(X, kept)


def test_gradients_by_arguments_equal_autograd() -> None:
    def f(x: Tensor, *, scale: Tensor) -> tuple[Tensor, Tensor]:
        return (x * scale).softmax(-1), x.mean()

    probe = Probe(target="f", args=(X,), kwargs={"scale": torch.tensor(2.0)}, gradients=("0", "scale"), seed=3)
    reply = execute(probe, {"f": f})
    generator = torch.Generator().manual_seed(3)
    x, scale = X.clone().requires_grad_(), torch.tensor(2.0).requires_grad_()
    first, second = f(x, scale=scale)
    total = (first * (torch.randint(-8, 9, first.shape, generator=generator).double() / 8)).sum()
    total = total + second * (torch.randint(-8, 9, (), generator=generator).double() / 8)
    total.backward()
    torch.testing.assert_close(reply.gradients["0"], x.grad)
    torch.testing.assert_close(reply.gradients["scale"], scale.grad)


def test_gradients_by_weights_are_named_as_the_state() -> None:
    weight = torch.tensor([[0.1, 0.2, 0.3], [-0.5, 0.4, 0.0]])
    probe = Probe(
        target="f", args=(X,), init={"width": 2}, state={"linear.weight": weight}, gradients=("state",), seed=1
    )
    reply = execute(probe, {"f": Projection})
    w = weight.double().requires_grad_()
    output = (X @ w.mT).tanh()
    cotangent = torch.randint(-8, 9, output.shape, generator=torch.Generator().manual_seed(1)).double() / 8
    (output * cotangent).sum().backward()
    torch.testing.assert_close(reply.output, output.detach())
    assert list(reply.gradients) == ["linear.weight"]
    torch.testing.assert_close(reply.gradients["linear.weight"], w.grad)


def test_a_cut_graph_gives_no_gradient() -> None:
    assert answer(lambda x: x.detach(), X, gradients=("0",)).gradients == {"0": None}
    assert answer(lambda x, y: y * 2, X, X, gradients=("0", "1")).gradients["0"] is None


def test_gradients_come_even_where_the_student_switched_them_off() -> None:
    with torch.no_grad():
        reply = answer(lambda x: x * 2, X, gradients=("0",))
    assert reply.gradients["0"] is not None


def test_another_method_is_called() -> None:
    weight = torch.ones(1, 3)
    settings = {"target": "f", "args": (X,), "init": {"width": 1}, "state": {"linear.weight": weight}}
    once = execute(Probe(**settings), {"f": Projection})
    twice = execute(Probe(**settings, method="twice"), {"f": Projection})
    torch.testing.assert_close(twice.output, 2 * once.output)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numbers_made_meanwhile_are_of_the_probes_dtype(dtype: str) -> None:
    reply = answer(lambda: torch.zeros(2), dtype=dtype)
    assert str(reply.output.dtype) == f"torch.{dtype}"
    made = execute(Probe(target="f", args=(X.float(),), init={"width": 1}, dtype="float32"), {"f": Projection})
    assert made.output.dtype == torch.float32


def boom(*_: Any) -> None:
    torch.set_default_dtype(torch.float16)
    torch.manual_seed(99)
    torch.rand(5)
    raise RuntimeError("boom")


@pytest.mark.parametrize("function", [boom, lambda *_: torch.rand(3)])
def test_default_dtype_and_random_state_are_as_before(function: Any) -> None:
    torch.manual_seed(4)
    torch.rand(2)
    before, dtype = torch.get_rng_state(), torch.get_default_dtype()
    answer(function, X)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_default_dtype() == dtype


def test_random_numbers_follow_the_probes_seed() -> None:
    first, second, other = (answer(lambda: torch.rand(3), seed=seed).output for seed in (5, 5, 6))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_functions_and_generators_arrive_as_such() -> None:
    square = Code("def square(x):\n    return F.relu(x) ** 2", "square")
    reply = answer(lambda f, rng: (f(torch.tensor(3.0)), torch.rand(2, generator=rng)), square, Seed(7))
    assert reply.output[0] == 9
    torch.testing.assert_close(
        reply.output[1], torch.rand(2, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    )


def test_a_failure_has_its_kind() -> None:
    def stop(*_: Any) -> None:
        raise SystemExit(3)

    def not_written(*_: Any) -> None:
        raise NotImplementedError

    def too_large(*_: Any) -> None:
        raise MemoryError

    kinds = {function: answer(function).failure for function in (stop, not_written, too_large, boom)}
    assert [(f.kind, f.type) for f in kinds.values() if f] == [
        ("raised", "SystemExit"),
        ("not_written", "NotImplementedError"),
        ("memory", "MemoryError"),
        ("raised", "RuntimeError"),
    ]
    missing = execute(Probe(target="g"), {}).failure
    assert missing is not None
    assert missing.kind == "missing"
    assert "g is not defined" in missing.message


def test_an_interrupt_of_the_user_is_not_swallowed() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer(interrupted)


def test_frames_are_the_students_own() -> None:
    source = "def helper(x):\n    return x @ x\n\ndef f(x):\n    y = helper(x)\n    return y"
    scope: dict[str, Any] = {}
    exec(compile(source, "/home/student/cell.py", "exec"), scope)
    failure = execute(Probe(target="f", args=(X,)), scope).failure
    assert failure is not None
    assert [(frame.function, frame.line) for frame in failure.frames] == [("f", 5), ("helper", 2)]
    assert "cannot be multiplied" in failure.message


def test_frames_leave_out_pytorch_and_the_course() -> None:
    source = "def f(x, g):\n    return nn.functional.linear(g(x), x.mT)"
    scope: dict[str, Any] = {"nn": nn}
    exec(compile(source, "/home/student/cell.py", "exec"), scope)
    given = Code("def g(x):\n    return x.no_such_thing()", "g")
    failure = execute(Probe(target="f", args=(X, given)), scope).failure
    assert failure is not None
    assert [frame.function for frame in failure.frames] == ["f"]


class Sly(str):
    def __len__(self) -> int:
        return -1


class BadText(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class SlyText(Exception):
    def __str__(self) -> str:
        return Sly("x" * 5000)


@pytest.mark.parametrize("error", [BadText(), SlyText(), RuntimeError("x" * 5000)])
def test_an_errors_text_is_plain_and_short(error: Exception) -> None:
    def f() -> None:
        raise error

    failure = answer(f).failure
    assert failure is not None
    assert type(failure.message) is str
    assert len(failure.message) <= 600


class Renamed(nn.Module):
    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(3, width, bias=False)


class WithBuffer(Projection):
    def __init__(self, *, width: int) -> None:
        super().__init__(width=width)
        self.register_buffer("mask", torch.ones(2))


class NoModule:
    def __init__(self, *, width: int) -> None:
        self.width = width

    def __call__(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize(
    ("target", "width", "says"),
    [
        (Renamed, 2, ["it has no linear.weight", "it has projection.weight, which the docstring does not name"]),
        (Projection, 4, ["linear.weight has shape (4, 3), expected (2, 3)"]),
        (NoModule, 2, ["it has no linear.weight"]),
    ],
)
def test_weights_that_do_not_fit_are_named(target: Any, width: int, says: list[str]) -> None:
    probe = Probe(target="f", args=(X,), init={"width": width}, state={"linear.weight": torch.zeros(2, 3)})
    failure = execute(probe, {"f": target}).failure
    assert failure is not None
    assert failure.kind == "state"
    assert all(text in failure.message for text in says)


def test_a_module_may_have_buffers_of_its_own() -> None:
    probe = Probe(target="f", args=(X,), init={"width": 2}, state={"linear.weight": torch.ones(2, 3)})
    assert execute(probe, {"f": WithBuffer}).failure is None


def test_a_module_is_called_in_evaluation_mode() -> None:
    class Drop(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(x, 0.9, self.training)

    probe = Probe(target="f", args=(X,), init={})
    assert torch.equal(execute(probe, {"f": Drop}).output, X)


def test_the_watcher_sees_the_largest_tensor_and_the_operations() -> None:
    def f(x: Tensor) -> Tensor:
        return (x.T[:, :, None] * x[None, None, 0, :2]).sum()

    reply = answer(f, X, watch=True)
    assert reply.largest == 3 * 2 * 2
    assert {"mul", "sum"} <= set(reply.operations)
    assert answer(f, X).largest is None


@pytest.mark.parametrize(
    ("f", "products"),
    [
        (lambda x: nn.functional.linear(x, torch.ones(5, 3)), 2 * 5 * 3),
        (lambda x: nn.functional.linear(x, torch.ones(5, 3), torch.ones(5)), 2 * 5 * 3),
        (lambda x: nn.functional.linear(x[0], torch.ones(5, 3)), 5 * 3),
        (lambda x: torch.einsum("nd,nhd->nh", x, torch.ones(2, 5, 3)), 2 * 5 * 3),
        (lambda x: (x[:, None] * torch.ones(5, 3)).sum(-1), 2 * 5 * 3),
        (lambda x: x[0] @ x[1] + x.sum(), 3),
    ],
    ids=["a layer", "with a bias", "of one vector", "einsum", "entry by entry", "dot product"],
)
def test_the_watcher_counts_multiplications_however_they_are_written(f: Any, products: int) -> None:
    assert answer(f, X, watch=True).multiplications == products
    assert answer(f, X).multiplications is None


@pytest.mark.parametrize("shape", [(2, 3), (2, 2, 3), (2, 1, 2, 3)])
@pytest.mark.parametrize("gradients", [(), ("0",)])
def test_the_watcher_tells_the_fused_attention_from_one_written_out(
    shape: tuple[int, ...], gradients: tuple[str, ...]
) -> None:
    def fused(x: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=torch.ones(2, 2).bool().tril())

    def written_out(x: Tensor) -> Tensor:
        scores = (x @ x.mT / x.shape[-1] ** 0.5).masked_fill(torch.ones(2, 2).bool().triu(1), -torch.inf)
        return scores.softmax(-1) @ x

    x = X[0, :].expand(shape)
    seen = FUSED_OPERATIONS["scaled_dot_product_attention"]
    replies = [answer(f, x, watch=True, gradients=gradients) for f in (fused, written_out)]
    torch.testing.assert_close(replies[0].output, replies[1].output)
    assert [bool(seen & set(reply.operations)) for reply in replies] == [True, False]


def test_a_reply_that_was_recorded_before_multiplications_were_counted_is_read() -> None:
    value = execute(Probe(target="f", args=(X,)), {"f": torch.sin}).to_value()
    assert "multiplications" not in value
    assert Reply.from_value(unpack(pack(value))).multiplications is None


def test_probes_and_replies_cross_as_values() -> None:
    probe = Probe(target="f", args=(X, (1, None)), kwargs={"by": Seed(1)}, init={"width": 2}, state={"a": X})
    again = Probe.from_value(unpack(pack(probe.to_value())))
    assert again.target == "f"
    assert torch.equal(again.args[0], X)
    assert again.args[1] == (1, None)
    assert again.kwargs == {"by": Seed(1)}
    reply = Reply(X, {"0": None, "w": X}, Failure("raised", "E", "text", (Frame("f", 1, "x"),)), 12, ("mul",))
    back = Reply.from_value(unpack(pack(reply.to_value())))
    assert back.failure == reply.failure
    assert (back.largest, back.operations, back.gradients["0"]) == (12, ("mul",), None)


@pytest.mark.parametrize("value", [None, [], {"output": 1}, math.pi, "text", {"failure": 3, "gradients": 4}])
def test_what_describes_no_reply_is_refused(value: Any) -> None:
    with pytest.raises(ValueRefused):
        Reply.from_value(value)

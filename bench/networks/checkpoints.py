"""The one way from what a weight file holds to a filled network: find the state dict, plain its keys, load it strictly.

Published checkpoints differ in wrappers (``state_dict``, ``params_ema``, ``g_ema`` ...), in prefixes that training tools leave
(``module.`` of DataParallel, ``_orig_mod.`` of torch.compile, ``model.`` of Lightning) and in number formats. A loader says by which keys
it knows its network; everything else happens here, for every method and embedder alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from facesr.bench.config import BadValue
from facesr.bench.errors import FaceSRError

Net = TypeVar("Net", bound=nn.Module)
AVERAGED = ("g_ema", "G_ema", "params_ema", "model_ema", "ema_model", "generator_ema", "net_g_ema", "ema")
"""Entries that hold the averaged network, which is the one to use where a file has both."""
WRAPPERS = (
    *AVERAGED,
    "state_dict",
    "state_dict_G",
    "model_state_dict",
    "params",
    "model",
    "netG",
    "net_g",
    "net",
    "generator",
    "g",
    "G",
)
"""Entries under which files keep a state dict, and prefixes that whole programs leave on its keys; tried in this order."""
TOOLS = ("module", "_orig_mod")
"""Parts of a key that a training tool put in, wherever they stand."""
ALIGNMENT = 64
"""Bytes at a multiple of which PyTorch puts tensors of its own."""
DEPTH = 6
"""Levels of wrapping that are looked through."""


@dataclass(frozen=True)
class State:
    """A state dict found in a file. ``beside``: what else lies on the way to it (``opts``, ``latent_avg``, other networks)."""

    tensors: dict[str, Tensor]
    beside: dict[str, Any] = field(default_factory=dict)


def find_state(held: Mapping[str, Any], marks: Iterable[str], name: str, what: str) -> State:
    """The state dict in ``held`` that has a key beginning with one of ``marks``, keys plain.

    ``name``: the file, and ``what``: the network ("pix2pixHD generator"), for the message. Averaged networks come first. Raises
    ``FaceSRError`` where there is none, where two keys become one, or where the keys of the tensors are not texts.
    """
    marks = tuple(marks)
    for node, beside in _levels(held):
        odd = next((key for key, value in node.items() if isinstance(value, Tensor) and not isinstance(key, str)), None)
        if odd is not None:
            raise FaceSRError(f"{name} holds no {what}: it has a tensor under {odd!r}, and the keys of a network are texts")
        tensors = _plain({key: value for key, value in node.items() if isinstance(value, Tensor)}, name)
        for prefix in _prefixes(tensors):
            chosen = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
            if any(key.startswith(marks) for key in chosen):
                rest = {key: value for key, value in tensors.items() if not key.startswith(prefix)}
                return State(chosen, {**beside, **_others(node), **rest})
    some = ", ".join(_sample(held)) or "no tensors"
    raise FaceSRError(f"{name} holds no {what}: none of its keys begins with {' or '.join(marks)}; it has {some}")


def states(held: Mapping[str, Any], name: str) -> Iterator[dict[str, Tensor]]:
    """Every state dict that ``held`` may mean, keys plain, the likeliest first: for loaders that know networks by more than a key's beginning."""
    for node, _ in _levels(held):
        tensors = _plain({key: value for key, value in node.items() if isinstance(value, Tensor) and isinstance(key, str)}, name)
        for prefix in _prefixes(tensors) if tensors else ():
            yield {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}


def _levels(held: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
    """Every mapping in ``held``, wrappers in their order first, each with what lies beside the way to it; a loop is walked once."""
    seen: set[int] = set()

    def walk(node: Mapping[str, Any], beside: dict[str, Any], depth: int) -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
        if id(node) in seen or depth > DEPTH:
            return
        seen.add(id(node))
        inner = [key for key, value in node.items() if isinstance(value, Mapping)]
        averaged = [key for key in AVERAGED if key in inner]
        for key in averaged:
            yield from walk(node[key], {**beside, **_others(node)}, depth + 1)
        yield node, beside
        for key in sorted(
            set(map(str, inner)) - set(averaged), key=lambda k: (WRAPPERS.index(k) if k in WRAPPERS else len(WRAPPERS), k)
        ):
            if isinstance(node.get(key), Mapping):
                yield from walk(node[key], {**beside, **_others(node)}, depth + 1)

    yield from walk(held, {}, 0)


def _others(node: Mapping[str, Any]) -> dict[str, Any]:
    """What lies beside a state dict: options, single tensors; not the numbered entries of optimisers."""
    return {key: value for key, value in node.items() if isinstance(key, str) and key not in WRAPPERS}


def _plain(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Without the parts of keys that training tools put in."""
    plain: dict[str, Tensor] = {}
    for key, value in tensors.items():
        short = ".".join(part for part in key.split(".") if part not in TOOLS)
        if short in plain:
            raise FaceSRError(
                f"{name} has the key {short!r} twice, with and without {' or '.join(TOOLS)}: save one network's state dict"
            )
        plain[short] = value
    return plain


def _prefixes(tensors: Mapping[str, Tensor]) -> list[str]:
    """'' and the wrappers, up to three deep, that keys begin with."""
    found = [""]
    for depth in range(3):
        longer = [f"{prefix}{word}." for prefix in found if prefix.count(".") == depth for word in WRAPPERS]
        found += [prefix for prefix in longer if any(key.startswith(prefix) for key in tensors)]
    averaged = [prefix for prefix in found if prefix.split(".")[0] in AVERAGED]
    return averaged + [prefix for prefix in found if prefix not in averaged]


def _sample(held: Mapping[str, Any]) -> list[str]:
    names = [str(key) for node, _ in _levels(held) for key, value in node.items() if isinstance(value, Tensor)]
    return names[:3] or [str(key) for key in list(held)[:3]]


@contextmanager
def reading_sizes(what: str) -> Iterator[None]:
    """Sizes of a network are read off keys and shapes here; a file in which they are not to be found gets one sentence. ``what``: as above."""
    try:
        yield
    except BadValue as error:
        raise FaceSRError(f"{what}: {error}") from None
    except FaceSRError:
        raise
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RuntimeError) as error:
        reason = (
            f"{error} is missing"
            if isinstance(error, KeyError)
            else " ".join(" ".join(str(error).splitlines()[:2]).split())[:240]  # PyTorch names the key in its second line
            or type(error).__name__
        )
        raise FaceSRError(f"{what}: its sizes cannot be read off its keys ({reason}); is it the right file, and whole?") from error


def load_strictly(
    module: nn.Module,
    state: Mapping[str, Tensor],
    what: str,
    *,
    assign: bool = False,
    optional: Callable[[str], bool] | None = None,
) -> None:
    """Fill ``module`` with ``state``, whole or not at all; half and double precision become float32.

    Every difference is reported in one ``FaceSRError``: missing, unexpected and misshapen keys, wrong kinds of numbers, NaN, the first of
    each by name. ``what``: file and network, for the message. ``assign``: take the tensors themselves, for a module built on the meta
    device. ``optional``: keys that may be missing and keep their own value, beside ``num_batches_tracked`` (files older than PyTorch 0.4.1).
    """
    own = module.state_dict()
    absent = [key for key in own if key not in state]
    missing = [key for key in absent if not key.endswith("num_batches_tracked") and not (optional and optional(key))]
    foreign = [key for key in state if key not in own]
    both = [key for key in own if key in state]
    shapes = [key for key in both if own[key].shape != state[key].shape]
    kinds = [key for key in both if own[key].is_floating_point() != state[key].is_floating_point()]
    broken = [] if shapes or kinds else [key for key in both if not bool(torch.isfinite(state[key].float()).all())]
    found = (
        (missing, "missing"), (foreign, "unexpected"), (shapes, "of another shape"), (kinds, "of another kind of number"),
        (broken, "with NaN or infinity"),
    )  # fmt: skip
    problems = [
        f"{len(keys)} key{'s' * (len(keys) != 1)} {word} (first: {keys[0]!r}{_shapes(own, state, keys[0], word)})"
        for keys, word in found
        if keys
    ]
    if problems:
        raise FaceSRError(f"{what}: the weights do not fit: {', '.join(problems)}; is it the right file, and whole?")
    counters = {key: torch.zeros((), dtype=torch.int64) if key.endswith("num_batches_tracked") else own[key] for key in absent}
    # Floats alone: a counter may be of any integer type.
    ready = {key: _aligned(value.to(own[key].dtype)) if value.is_floating_point() else value for key, value in state.items()}
    module.load_state_dict({**counters, **ready}, assign=assign)


def _aligned(value: Tensor) -> Tensor:
    """Tensors of a safetensors file may begin at any byte, and vector kernels then sum in another order: the same numbers, other bits."""
    return (
        value if value.data_ptr() % ALIGNMENT == 0 and value.is_contiguous() else value.clone(memory_format=torch.contiguous_format)
    )


def _shapes(own: Mapping[str, Tensor], state: Mapping[str, Tensor], key: str, word: str) -> str:
    if word == "of another shape":
        return f", {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
    return f", {str(state[key].dtype).removeprefix('torch.')}" if word.startswith("of another kind") else ""


def normal_weight(*shape: int, std: float = 1.0) -> Tensor:
    """Normal random numbers for a weight before its training; none for a network that ``built`` makes without memory, where torch would
    load a second's worth of modules (sympy among them) to draw nothing."""
    empty = torch.empty(shape)
    return empty if empty.is_meta else empty.normal_(std=std)


def built(make: Callable[[], Net], state: Mapping[str, Tensor], what: str) -> Net:
    """The network ``make()`` gives, filled, frozen, in eval mode.

    It is built without memory first (torch's meta device) and takes the tensors of ``state`` themselves, so that a file that describes an
    enormous network is refused before anything of that size exists. ``make`` must keep all its numbers in parameters and buffers that
    state dicts hold.
    """
    with torch.device("meta"), reading_sizes(what):
        net = make()
    load_strictly(net, state, what, assign=True)
    return net.eval().requires_grad_(False)

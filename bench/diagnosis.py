"""Why finished images score far below bicubic's: which mistake, undone, brings the score back. Measured on a few faces, never guessed.

Looked for: swapped channels, other ranges and curves, mirrored, turned or shifted pictures, another crop or scale, other faces' files, and
two in combination. Nothing is reported unless one of them restores the score on most faces; no score is ever changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from facesr.bench.faces import F64, U8
from facesr.bench.imaging.resample import resize8

FACES = 8
"""Faces that are looked at."""
BELOW = 1.5
"""dB below bicubic's from which an explanation is looked for: sharp methods lie a little below it by their nature."""
GAIN = 2.0
"""dB that undoing a mistake must gain on most faces; it must also win back half of what is missing to bicubic's."""
MOST = 0.75
"""Share of the faces that must gain so much."""
SIDE, SMALL = 256, 64
"""Sides at which single mistakes, and combinations, are searched; what is found is measured at full size."""
LEFT = 0.1
"""Share of a face's values that must survive a mistake for it to be measured on them."""
CROP = 256
"""Side of the middle in which a shift is searched."""
KERNEL = "bicubic-matlab"

Undo = Callable[[F64], tuple[F64, "NDArray[np.bool_] | None"]]
"""Undoes a mistake on an image (H, W, 3) in 0..255; the mask says which values survived it (None: all)."""


@dataclass(frozen=True)
class Diagnosed:
    """``what`` the images look like; mean dB ``given`` and ``restored`` by ``undone``; on how many of ``faces`` it ``helped``."""

    what: str
    undone: str
    given: float
    restored: float
    helped: int
    faces: int

    def __str__(self) -> str:
        """One sentence, as in "looks like BGR: 31.2 dB when channels are swapped, 12.1 as given, 8 of 8 faces"."""
        return f"looks like {self.what}: {self.restored:.1f} dB {self.undone}, {self.given:.1f} as given, {self.helped} of {self.faces} faces"


@dataclass(frozen=True)
class _Mistake:
    what: str
    undone: str
    undo: Undo

    def then(self, other: _Mistake) -> _Mistake:
        """Both mistakes, this one undone first."""

        def both(x: F64) -> tuple[F64, NDArray[np.bool_] | None]:
            first, mask = self.undo(x)
            second, more = other.undo(first)
            if mask is not None:  # what survived is turned as the image is
                mask = other.undo(mask.astype(float))[0] > 0.5
            return second, mask if more is None else more

        return _Mistake(f"{self.what} and {other.what}", "when both are undone", both)


def counted(notes: Iterable[str]) -> list[str]:
    """Notes of images, each cause once with how many images it concerns."""
    causes = Counter(cause for note in notes for cause in note.split("; ") if cause)
    return [f"{n} image{'s' if n > 1 else ''}: {cause}" for cause, n in sorted(causes.items(), key=lambda c: (-c[1], c[0]))]


def examined(names: Sequence[str]) -> list[str]:
    """The faces to look at: a few, evenly spread."""
    if len(names) <= FACES:
        return list(names)
    return [names[i] for i in np.linspace(0, len(names) - 1, FACES).round().astype(int)]


def suspicious(sr: U8, hr: U8, scale: float) -> bool:
    """Whether images (N, S, S, 3) score so far below bicubic's that a mistake is to be looked for."""
    return bool(len(sr)) and float(_psnr(sr, hr).mean()) < float(_bicubic(hr, scale).mean()) - BELOW


def diagnose(sr: U8, hr: U8, scale: float, names: Sequence[str] = (), others: Mapping[str, U8] | None = None) -> Diagnosed | None:
    """The mistake that explains images (N, S, S, 3) far below bicubic's, or None.

    ``names``: of the N faces; ``others``: HR images of further faces by name, among which theirs may be found.
    """
    if not suspicious(sr, hr, scale):
        return None
    given, bicubic = _psnr(sr, hr), _bicubic(hr, scale)
    judge = _Judge(given, float(bicubic.mean()))
    best = _best(judge, [*_channels(), *_ranges(), *_turns(), _zoomed(sr, hr), _shift(sr, hr)], sr, hr, SIDE)
    if other := _other_face(judge, sr, hr, names, others or {}):
        best = other if best is None or other.restored > best.restored else best
    if best is None or best.restored < judge.bicubic - 0.5:
        pair = _pair(judge, sr, hr)
        if pair and (best is None or pair.restored >= best.restored + GAIN):
            best = pair
    return best or _too_coarse(judge, sr, hr, scale)


@dataclass(frozen=True)
class _Judge:
    """dB of each face as given, and bicubic's mean."""

    given: F64
    bicubic: float

    def of(self, mistake: _Mistake, sr: U8, hr: U8) -> Diagnosed | None:
        """What undoing a mistake gains, where that is enough."""
        before, after = self.given.copy(), self.given.copy()
        for i, (a, b) in enumerate(zip(sr.astype(float), hr.astype(float), strict=True)):
            image, mask = mistake.undo(a)
            if mask is None or mask.mean() >= LEFT:
                before[i] = self.given[i] if mask is None else _db(a, b, mask)
                after[i] = _db(np.clip(image, 0, 255), b, mask)
        return self.finding(mistake.what, mistake.undone, before, after)

    def finding(self, what: str, undone: str, before: F64, after: F64) -> Diagnosed | None:
        """A finding, or None where it does not restore most faces."""
        helped = int((after - before >= GAIN).sum())
        low, high = float(before.mean()), float(after.mean())
        enough = high >= low + GAIN and high >= (float(self.given.mean()) + self.bicubic) / 2
        return Diagnosed(what, undone, low, high, helped, len(before)) if enough and helped >= MOST * len(before) else None


# -- single mistakes -------------------------------------------------------------------------------------------------------------


def _channels() -> Iterator[_Mistake]:
    for order in permutations(range(3)):
        name = "".join("RGB"[order.index(i)] for i in range(3))
        if order == (2, 1, 0):
            yield _Mistake("BGR", "when channels are swapped", _whole(partial(_ordered, order=order)))
        elif order != (0, 1, 2):
            yield _Mistake(f"channels in the order {name}", "when put in order", _whole(partial(_ordered, order=order)))


def _ordered(x: F64, order: tuple[int, ...]) -> F64:
    return x[..., list(order)]


def _whole(undo: Callable[[F64], F64]) -> Undo:
    """A mistake that every value survives."""
    return lambda x: (undo(x), None)


def _ranges() -> Iterator[_Mistake]:
    mean, std = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225])
    back = "when mapped back"
    whole: dict[str, Callable[[F64], F64]] = {
        "values mapped from [-1, 1] to [0, 1] once too often": lambda x: 2 * x - 255,
        "linear light saved without its gamma": _encoded,
        "gamma applied twice": _linear,
        "the limited range 16 to 235": lambda x: (x - 16) * 255 / 219,
        "limited range expanded once too often": lambda x: x * 219 / 255 + 16,
        "a negative": lambda x: 255 - x,
        "YCbCr saved as RGB": _rgb,
    }
    for what, undo in whole.items():
        yield _Mistake(what, back, _whole(undo))
    cut = "where values survived, mapped back"
    yield _Mistake("values in [-1, 1] saved as [0, 1], the dark half cut off", cut, lambda x: ((x + 255) / 2, x > 0))
    yield _Mistake(
        "values normalised by ImageNet's mean and deviation", cut, lambda x: (x * std + mean, np.logical_and(x > 0, x < 255))
    )


def _encoded(x: F64) -> F64:
    v = np.clip(x / 255, 0, 1)
    return np.asarray(np.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055) * 255)


def _linear(x: F64) -> F64:
    v = np.clip(x / 255, 0, 1)
    return np.asarray(np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4) * 255)


def _rgb(x: F64) -> F64:
    """Full-range YCbCr (JPEG's) to RGB."""
    y, cb, cr = x[..., 0], x[..., 1] - 128, x[..., 2] - 128
    return np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], -1)


def _turns() -> Iterator[_Mistake]:
    turned: dict[str, Callable[[F64], F64]] = {
        "pictures mirrored left to right": lambda x: x[:, ::-1],
        "pictures upside down (rows in reverse)": lambda x: x[::-1],
        "pictures turned by 180 degrees": lambda x: x[::-1, ::-1],
        "pictures turned by 90 degrees to the left": lambda x: np.rot90(x, -1),
        "pictures turned by 90 degrees to the right": lambda x: np.rot90(x, 1),
        "rows and columns exchanged": lambda x: x.transpose(1, 0, 2),
        "rows and columns exchanged and turned by 180 degrees": lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    }
    for what, undo in turned.items():
        yield _Mistake(what, "when put back", _whole(undo))


def _zoomed(sr: U8, hr: U8) -> _Mistake:
    """The magnification common to all faces that fits best, from half to double: another crop, or pictures made for another scale."""
    a, b = (_reduced(x, SMALL).astype(float) for x in (sr, hr))

    def fit(per_cent: int) -> float:
        undo = _zoom(per_cent).undo
        return sum(_db(image, y, mask) for x, y in zip(a, b, strict=True) for image, mask in [undo(x)])

    rough = max((*range(50, 98, 4), *range(104, 204, 4)), key=fit)
    return _zoom(max((p for p in range(rough - 3, rough + 4) if p != 100), key=fit))


def _zoom(per_cent: int) -> _Mistake:
    """The picture is ``per_cent`` of the size it should have, about its middle."""

    def undo(x: F64) -> tuple[F64, NDArray[np.bool_] | None]:
        import cv2

        side, f = x.shape[0], per_cent / 100
        middle = (side - 1) / 2
        matrix = np.array([[f, 0, middle * (1 - f)], [0, f, middle * (1 - f)]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP  # the matrix says where each pixel is fetched from
        moved = cv2.warpAffine(x, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=(-1.0, -1.0, -1.0))
        inside = np.asarray(moved >= 0)
        return np.asarray(moved, float), None if inside.all() else inside

    what = f"another crop or scale (faces of {per_cent} % of their size)"
    return _Mistake(what, "when brought to size about the middle", undo)


# -- shifts, other faces, coarse images, combinations --------------------------------------------------------------------------------


def _shift(sr: U8, hr: U8) -> _Mistake:
    """The shift common to all faces that fits best, up to an eighth of the side, from FFTs of the overlap's squared error."""
    side = min(sr.shape[1], CROP)
    at = (sr.shape[1] - side) // 2
    a, b = (x[:, at : at + side, at : at + side].astype(float) for x in (sr, hr))
    reach, full = max(1, sr.shape[1] // 8), 2 * side
    one = np.fft.rfft2(np.ones((side, side)), (full, full))
    count = np.fft.irfft2(np.conj(one) * one, (full, full))
    error = np.zeros((full, full))
    for x, y in zip(a, b, strict=True):
        xs, ys = (np.fft.rfft2((z**2).sum(-1), (full, full)) for z in (x, y))
        product_ = sum(np.conj(np.fft.rfft2(x[..., c], (full, full))) * np.fft.rfft2(y[..., c], (full, full)) for c in range(3))
        error += np.fft.irfft2(np.conj(xs) * one + np.conj(one) * ys - 2 * product_, (full, full))
    error /= np.maximum(count, 1)
    moves = [(dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    dy, dx = min(moves, key=lambda m: float(error[m]))

    def undo(x: F64) -> tuple[F64, NDArray[np.bool_] | None]:
        moved = np.full_like(x, -1)
        h, w = x.shape[:2]
        to = (slice(max(dy, 0), h + min(dy, 0)), slice(max(dx, 0), w + min(dx, 0)))
        fro = (slice(max(-dy, 0), h + min(-dy, 0)), slice(max(-dx, 0), w + min(-dx, 0)))
        moved[to] = x[fro]
        return moved, moved >= 0

    parts = [
        f"{abs(d)} px {way}"
        for d, way in ((dx, "to the left" if dx > 0 else "to the right"), (dy, "up" if dy > 0 else "down"))
        if d
    ]
    return _Mistake(f"a shift of {' and '.join(parts) or 'nothing'}", "when moved back", undo)


def _other_face(judge: _Judge, sr: U8, hr: U8, names: Sequence[str], others: Mapping[str, U8]) -> Diagnosed | None:
    """Whether most images are other faces than their names say, each a different one."""
    known = {**others, **dict(zip(names, hr, strict=False))}
    if len(known) < 2 or not names:
        return None
    small = {name: resize8(image, 16, "box").astype(float) for name, image in known.items()}
    after, found = judge.given.copy(), {}
    for i, (name, image) in enumerate(zip(names, sr, strict=True)):
        little = resize8(image, 16, "box").astype(float)
        best = min(small, key=lambda n: float(((small[n] - little) ** 2).mean()))
        if best != name:
            found[name] = best
            after[i] = _db(image.astype(float), known[best].astype(float), None)
    if len(set(found.values())) < MOST * len(names):
        return None
    name, other = next(iter(found.items()))
    return judge.finding(f"other faces' files ({name} holds {other})", "against those faces", judge.given, after)


def _pair(judge: _Judge, sr: U8, hr: U8) -> Diagnosed | None:
    """The best of two mistakes at once."""
    kinds = [list(_channels()), list(_ranges()), list(_turns())]
    pairs = [one.then(two) for i, kind in enumerate(kinds) for later in kinds[i + 1 :] for one, two in product(kind, later)]
    return _best(judge, pairs, sr, hr, SMALL)


def _best(judge: _Judge, mistakes: Sequence[_Mistake], sr: U8, hr: U8, side: int) -> Diagnosed | None:
    """The mistake that explains most: looked for on images of at most ``side``, measured on whole ones."""
    a, b = _reduced(sr, side), _reduced(hr, side)
    on_small = replace(judge, given=_psnr(a, b))
    found = [(f.restored, i) for i, mistake in enumerate(mistakes) if (f := on_small.of(mistake, a, b))]
    return judge.of(mistakes[max(found)[1]], sr, hr) if found else None


def _reduced(images: U8, side: int) -> U8:
    return images if images.shape[1] <= side else np.stack([resize8(x, side, "box") for x in images])


def _too_coarse(judge: _Judge, sr: U8, hr: U8, scale: float) -> Diagnosed | None:
    """Images that hold no more than LR of a larger factor: measured against that LR, enlarged."""
    size = hr.shape[1]
    for factor in (2 * scale, 4 * scale):
        side = max(2, round(size / factor))
        for kernel, how in ((KERNEL, "bicubic"), ("nearest", "nearest-neighbour")):
            like = np.stack([resize8(resize8(x, side, KERNEL), size, kernel) for x in hr])
            after = _psnr(sr, like)
            if float(after.min()) >= 35:  # nearly every value of every face: this is what they are
                return Diagnosed(
                    f"LR of x{factor:g} enlarged by {how} (asked for is x{scale:g})", "against that", float(judge.given.mean()),
                    float(after.mean()), len(sr), len(sr),
                )  # fmt: skip
    return None


# -- dB --------------------------------------------------------------------------------------------------------------------------


def _db(a: F64, b: F64, mask: NDArray[np.bool_] | None) -> float:
    error = (a - b) ** 2
    mse = float(error.mean() if mask is None else error[mask].mean())
    return min(100.0, 10 * float(np.log10(255**2 / mse))) if mse else 100.0


def _psnr(a: U8, b: U8) -> F64:
    return np.array([_db(x.astype(float), y.astype(float), None) for x, y in zip(a, b, strict=True)])


def _bicubic(hr: U8, scale: float) -> F64:
    size = hr.shape[1]
    side = max(1, round(size / scale))
    return _psnr(np.stack([resize8(resize8(x, side, KERNEL), size, KERNEL) for x in hr]), hr)

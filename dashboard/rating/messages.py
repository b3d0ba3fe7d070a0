"""What the rating page and the server say to each other; everything else is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=0, le=1_000_000)]
Position = Annotated[int, Path(ge=1, le=1_000_000)]
PLAIN = r"^[^\x00-\x1f\x7f]*$"


Words = Annotated[str, Field(max_length=4000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")]
"""Text of a person: of several lines, without control characters."""


class Shown(BaseModel):
    """How the item was on the screen when it was answered."""

    model_config = ConfigDict(extra="forbid")
    shown: Annotated[str, Field(max_length=32, pattern=r"^[0-9T:.Z+-]*$")] | None = None
    dpr: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | None = None
    device_pixels: Number | None = None
    css_px: Number | None = None
    viewport_width: Whole | None = None
    viewport_height: Whole | None = None
    pinch: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None
    loaded_ms: Number | None = None
    hidden_ms: Number | None = None
    verified: bool | None = None
    layout: Literal["row", "column"] | None = None


class Rating(BaseModel):
    """An answer. ``score`` is null for an example that was seen; ``revision`` counts the corrections of this item."""

    model_config = ConfigDict(extra="forbid")
    score: Annotated[int, Field(ge=0, le=9, strict=True)] | None
    revision: Annotated[int, Field(ge=0, le=1000, strict=True)] = 0
    rt_ms: Number | None = None
    input: Literal["key", "mouse", "touch", ""] = ""
    shown: Shown | None = None


class Stored(BaseModel):
    """``stored``: whether this send was new; ``next``: the position to answer now; ``rest``: seconds to rest before it."""

    stored: bool
    next: int
    rest: float = 0.0


class Consent(BaseModel):
    """Agreement to take part. ``locale``, ``sha256``: the texts that were shown, as ``/texts`` gave them."""

    model_config = ConfigDict(extra="forbid")
    agreed: Literal[True]
    locale: Annotated[str, Field(max_length=12, pattern=r"^[A-Za-z0-9-]*$")] = ""
    sha256: Annotated[str, Field(max_length=64, pattern=r"^[0-9a-f]*$")] = ""


class Happening(BaseModel):
    """Something the page saw: hidden, visible, zoom, resize, offline, online, break, resumed."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal[
        "hidden",
        "visible",
        "zoom",
        "resize",
        "offline",
        "online",
        "break",
        "rest",
        "resumed",
        "fractional",
        "left behind",
        "taken over",
    ]
    position: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    detail: Annotated[str, Field(max_length=200, pattern=PLAIN)] = ""
    at: Annotated[str, Field(max_length=32, pattern=r"^[0-9T:.Z+-]*$")] = ""


class Happenings(BaseModel):
    """A batch of events."""

    model_config = ConfigDict(extra="forbid")
    events: Annotated[list[Happening], Field(max_length=200)]


class Join(BaseModel):
    """Taking a place in a study that is open to a crowd.

    ``worker``: PROLIFIC_PID or workerId as the platform sent it; a keyed hash of it is stored, and with ``submission`` (SESSION_ID or
    assignmentId) an encrypted copy until the worker is paid. ``device``: a random mark that the page keeps in the browser.
    """

    model_config = ConfigDict(extra="forbid")
    source: Literal["prolific", "mturk", "open"]
    worker: Annotated[str, Field(max_length=200)] = ""
    submission: Annotated[str, Field(max_length=200)] = ""
    device: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_-]*$")] = ""


class Leaving(BaseModel):
    """Giving the place back. ``erase``: and having everything removed."""

    model_config = ConfigDict(extra="forbid")
    erase: bool = False


class Unfit(BaseModel):
    """The page found that this person or device may not take part."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[str, Field(min_length=1, max_length=200, pattern=PLAIN)]


class Given(BaseModel):
    """What a rater gave in a step beside ratings. ``mark``: of this sending, so that a repeated one is stored once."""

    model_config = ConfigDict(extra="forbid")
    step: Literal["questionnaire", "screen", "practice", "comment"]
    mark: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]*$")]
    values: dict[Annotated[str, Field(max_length=40)], float | Words | Annotated[list[Words], Field(max_length=50)] | None]


class Problem(BaseModel):
    """Why a request was not taken."""

    detail: str


def interpolated(shown: Shown) -> bool:
    """Whether the screen did not show each image pixel as a whole number of its own: after a pinch, or where the page says so.

    A device pixel ratio of 1.25 or 1.5 (Windows at 125 % and 150 %) is no reason: the page sizes images in device pixels.
    """
    pixels = shown.device_pixels or 1.0
    return abs(pixels - round(pixels)) > 0.01 or abs((shown.pinch or 1.0) - 1) > 0.01

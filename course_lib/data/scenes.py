"""Composed scenes: digits and shapes on a textured ground, with masks, boxes and captions.

A scene is divided into cells; some cells hold a thing each. What a thing may be, how large it is, and what lies
behind it are a `SceneStyle`'s choice. Two styles are made for the chapters:

    scenes = draw_scenes(2000, style=DIGITS_ON_GRATINGS, generator=generator, digits=train_digits)
    scenes = draw_scenes(6000, style=SHAPES_ON_NOISE, generator=generator)

    scenes.images       (count, channels, size, size), float32, between 0 and 1
    scenes.masks        (count, size, size), int64: 0 for the ground, k for style.kinds[k - 1]
    scenes.things[i]    the things of scene i in reading order: kind, colour, cell (row, column) and box
    scenes.captions[i]  words such as ("a", "red", "circle", "left", "of", "a", "blue", "square")
    style.words         every word that a caption may hold

The grammar of captions: things come in reading order (by rows, from the left), each as "a", its colour where there
are colours, its kind; between two neighbours of the order stands "left of" where they share a row of cells, and
"above" where the second lies in a lower row. So a scene has exactly one caption.

Chapters: 08-vit, 09-unet.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.data.digits import Digits

SHAPES = ("circle", "square", "triangle", "cross")
DIGITS = tuple("0123456789")
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.95, 0.20, 0.20),
    "green": (0.20, 0.80, 0.30),
    "blue": (0.25, 0.45, 1.00),
    "yellow": (0.95, 0.90, 0.20),
    "violet": (0.75, 0.30, 0.90),
}
"""The colours' red, green and blue, between 0 and 1."""

INKED = 0.35
"""A pixel with more than this share of ink belongs to the thing."""


@dataclass(frozen=True, kw_only=True)
class SceneStyle:
    """What the scenes of a set have in common.

    Attributes:
        size: pixels on each side of an image.
        cells: cells on each side, each of the same size.
        thing_size: pixels on each side of the square in which a thing is drawn; it moves within its cell.
        kinds: what a thing may be: names of `SHAPES` and `DIGITS`.
        colours: names of `COLOURS`; none for grey images.
        most: the largest number of things in a scene; the smallest is 1.
        ground: "gratings", three waves of light and dark with noise, or "noise", dark and without a pattern.
    """

    size: int
    cells: int
    thing_size: int
    kinds: tuple[str, ...]
    colours: tuple[str, ...] = ()
    most: int = 3
    ground: Literal["gratings", "noise"] = "gratings"

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        unknown = [kind for kind in self.kinds if kind not in SHAPES + DIGITS]
        unknown += [colour for colour in self.colours if colour not in COLOURS]
        if unknown or not self.kinds:
            raise ValueError(
                f"Nobody knows how to draw {', '.join(unknown) or 'no kind at all'}: kinds are {', '.join(SHAPES)} and "
                f'"0" to "9", colours are {", ".join(COLOURS)}.'
            )
        if self.size % self.cells or self.thing_size > self.cell_size:
            raise ValueError(
                f"{self.cells} cells a side on {self.size} pixels, with things of {self.thing_size} pixels, do not "
                "fit: size must be a multiple of cells, and a thing no larger than a cell."
            )
        if not 1 <= self.most <= self.cells**2:
            raise ValueError(f"There are {self.cells**2} cells, so a scene cannot hold {self.most} things.")

    @property
    def cell_size(self) -> int:
        """Pixels on each side of a cell."""
        return self.size // self.cells

    @property
    def channels(self) -> int:
        """3 where there are colours, else 1."""
        return 3 if self.colours else 1

    @property
    def class_names(self) -> tuple[str, ...]:
        """What each number in a mask means."""
        return ("ground", *self.kinds)

    @property
    def words(self) -> tuple[str, ...]:
        """Every word that a caption may hold."""
        return ("a", *self.colours, *self.kinds, "left", "of", "above")


DIGITS_ON_GRATINGS = SceneStyle(size=32, cells=2, thing_size=12, kinds=("0", "1", "4"))
SHAPES_ON_NOISE = SceneStyle(size=24, cells=3, thing_size=6, kinds=SHAPES, colours=tuple(COLOURS), ground="noise")


@dataclass(frozen=True)
class Thing:
    """One thing in a scene.

    Attributes:
        kind: what it is.
        colour: its colour; "" in a grey scene.
        cell: row and column of its cell.
        box: first row, first column, and the row and the column behind its last ones, in pixels: the smallest
            box around the pixels that the mask gives to it.
    """

    kind: str
    colour: str
    cell: tuple[int, int]
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Scenes:
    """Scenes of one style.

    Attributes:
        style: what they have in common.
        images: (count, channels, size, size), float32, between 0 and 1.
        masks: 0 for the ground, k for `style.kinds[k - 1]`, (count, size, size), int64.
        things: the things of each scene, in reading order.
    """

    style: SceneStyle
    images: Tensor
    masks: Tensor
    things: tuple[tuple[Thing, ...], ...]

    def __len__(self) -> int:
        """Number of scenes."""
        return len(self.things)

    @cached_property
    def captions(self) -> tuple[tuple[str, ...], ...]:
        """The words that describe each scene."""
        return tuple(caption(things) for things in self.things)


def caption(things: tuple[Thing, ...]) -> tuple[str, ...]:
    """The words for things in reading order: "a red circle left of a blue square above a green cross"."""
    words: list[str] = []
    for number, thing in enumerate(things):
        if number:
            words += ["left", "of"] if thing.cell[0] == things[number - 1].cell[0] else ["above"]
        words += ["a", thing.colour, thing.kind] if thing.colour else ["a", thing.kind]
    return tuple(words)


def draw_scenes(count: int, *, style: SceneStyle, generator: torch.Generator, digits: Digits | None = None) -> Scenes:
    """Draw scenes at random: how many things, which cells, kinds, colours and places in the cells, all evenly.

    Args:
        count: number of scenes.
        style: what they have in common.
        generator: the source of chance.
        digits: handwriting with values from 0 to 1, for a style that has digits among its kinds. Draw training and
            test scenes from the two parts of `split_digits`, so that no test scene shows a digit that was seen.

    Returns:
        The scenes.

    Raises:
        ValueError: if the style needs digits and none of a kind are given.

    Chapters: 08-vit, 09-unet.
    """
    sprites, first, many = _sprites(style, digits)
    cells, size = style.cells**2, style.thing_size
    number = torch.randint(1, style.most + 1, (count,), generator=generator)
    places = torch.rand(count, cells, generator=generator).argsort(dim=1)[:, : style.most]
    absent = torch.arange(style.most) >= number[:, None]
    places = places.masked_fill(absent, cells).sort(dim=1).values  # reading order, the absent ones at the end
    kinds = torch.randint(len(style.kinds), (count, style.most), generator=generator)
    chosen = first[kinds] + (torch.rand(count, style.most, generator=generator) * many[kinds]).long()
    colours = torch.randint(max(1, len(style.colours)), (count, style.most), generator=generator)
    strength = 0.75 + 0.25 * torch.rand(count, style.most, generator=generator)
    shift = torch.randint(style.cell_size - size + 1, (2, count, style.most), generator=generator)
    top = places // style.cells * style.cell_size + shift[0]
    left = places % style.cells * style.cell_size + shift[1]
    palette = torch.tensor([COLOURS[name] for name in style.colours] or [(1.0,)])  # (colours, channels)

    images = _ground(count, style, generator)
    masks = torch.zeros(count, style.size, style.size, dtype=torch.long)
    reach = torch.arange(size)
    for slot in range(style.most):
        here = (~absent[:, slot]).nonzero()[:, 0]
        where = (
            here[:, None, None],
            top[here, slot, None, None] + reach[:, None],
            left[here, slot, None, None] + reach,
        )
        ink = sprites[chosen[here, slot]]  # (scenes with so many things, size, size)
        colour = strength[here, slot, None] * palette[colours[here, slot]]  # (…, channels)
        masks[where] = torch.where(ink > INKED, kinds[here, slot, None, None] + 1, masks[where])
        for channel in range(style.channels):
            plane = images[:, channel]
            plane[where] = (1 - ink) * plane[where] + ink * colour[:, channel, None, None]

    boxes = _boxes(sprites)[chosen] + torch.stack([top, left, top, left], dim=-1)  # (count, most, 4)
    names = style.colours or ("",)
    things = tuple(
        tuple(
            Thing(style.kinds[kind], names[colour], divmod(place, style.cells), (box[0], box[1], box[2], box[3]))
            for place, kind, colour, box in zip(*row, strict=True)
            if place < cells
        )
        for row in zip(places.tolist(), kinds.tolist(), colours.tolist(), boxes.tolist(), strict=True)
    )
    return Scenes(style, images, masks, things)


def _sprites(style: SceneStyle, digits: Digits | None) -> tuple[Tensor, Tensor, Tensor]:
    """All pictures of things, (pictures, thing_size, thing_size), and for each kind its first one and how many."""
    pictures = []
    for kind in style.kinds:
        if kind in SHAPES:
            pictures.append(_shape(kind, style.thing_size)[None])
            continue
        written = digits.images[digits.labels == int(kind)] if digits is not None else torch.empty(0, 1, 8, 8)
        if not len(written):
            raise ValueError(f"The style draws the digit {kind}: give digits that hold it, digits=….")
        enlarged = F.interpolate(written, size=(style.thing_size, style.thing_size), mode="bilinear")
        pictures.append(enlarged[:, 0])
    many = torch.tensor([len(some) for some in pictures])
    return torch.cat(pictures), many.cumsum(0) - many, many


def _shape(kind: str, size: int) -> Tensor:
    """A shape in full ink, (size, size)."""
    across = (torch.arange(size) * 2 + 1) / size - 1  # the pixels' middles between -1 and 1
    down = across[:, None]
    inside = {
        "circle": down**2 + across**2 <= 0.8,
        "square": (down.abs() <= 1) & (across.abs() <= 1),
        "triangle": across.abs() <= (down + 1.2) / 2,
        "cross": torch.minimum(down.abs(), across.abs().expand(size, size)) <= 0.2,
    }[kind]
    return inside.float()


def _boxes(sprites: Tensor) -> Tensor:
    """The smallest box around the inked pixels of each picture, (pictures, 4); the last two are behind the end."""
    inked = sprites > INKED
    sides = []
    for axis in (2, 1):  # rows that hold ink, then columns
        line = inked.any(dim=axis).long()
        sides.append((line.argmax(dim=1), line.shape[1] - line.flip(1).argmax(dim=1)))
    (top, bottom), (left, right) = sides
    return torch.stack([top, left, bottom, right], dim=1)


def _ground(count: int, style: SceneStyle, generator: torch.Generator) -> Tensor:
    """What lies behind the things, (count, channels, size, size)."""
    shape = (count, style.channels, style.size, style.size)
    noise = torch.rand(shape, generator=generator)
    if style.ground == "noise":
        return 0.25 * noise
    waves = 3
    turns = 8 * torch.rand(2, count, style.channels, waves, 1, 1, generator=generator) - 4  # over the image's width
    start = torch.rand(count, style.channels, waves, 1, 1, generator=generator)
    across = torch.arange(style.size) / style.size
    phase = turns[0] * across[:, None] + turns[1] * across + start
    light = (2 * math.pi * phase).cos().sum(dim=2) / waves  # between -1 and 1
    return 0.35 + 0.25 * light + 0.1 * (noise - 0.5)

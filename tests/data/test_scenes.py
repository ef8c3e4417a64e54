"""Composed scenes: image, mask, boxes and caption tell of the same things."""

import re
from collections import Counter

import pytest
import torch

from course_lib.data.digits import Digits, split_digits
from course_lib.data.scenes import (
    COLOURS,
    DIGITS_ON_GRATINGS,
    SHAPES_ON_NOISE,
    Scenes,
    SceneStyle,
    draw_scenes,
)

MIXED = SceneStyle(size=36, cells=3, thing_size=10, kinds=("cross", "7", "square"), colours=("red", "blue"), most=5)
STYLES = {"digits": DIGITS_ON_GRATINGS, "shapes": SHAPES_ON_NOISE, "mixed": MIXED}


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def handwriting() -> Digits:
    return split_digits(test_size=500, generator=chance())[0]


def drawn(style: SceneStyle, count: int = 60, seed: int = 1) -> Scenes:
    return draw_scenes(count, style=style, generator=chance(seed), digits=handwriting())


@pytest.fixture(params=STYLES)
def scenes(request: pytest.FixtureRequest) -> Scenes:
    return drawn(STYLES[request.param])


def test_images_and_masks_have_the_shapes_and_types_that_they_promise(scenes: Scenes) -> None:
    size = scenes.style.size
    assert scenes.images.shape == (60, 3 if scenes.style.colours else 1, size, size)
    assert scenes.masks.shape == (60, size, size)
    assert scenes.images.dtype == torch.float32
    assert scenes.masks.dtype == torch.int64
    assert scenes.images.min() >= 0
    assert scenes.images.max() <= 1
    assert set(scenes.masks.unique().tolist()) == set(range(len(scenes.style.class_names)))


def test_the_boxes_are_the_smallest_around_the_pixels_of_their_things_and_hold_all_of_them(scenes: Scenes) -> None:
    for mask, things in zip(scenes.masks, scenes.things, strict=True):
        left_over = mask.clone()
        for thing in things:
            top, left, bottom, right = thing.box
            own = mask[top:bottom, left:right] == scenes.style.kinds.index(thing.kind) + 1
            assert own[0].any()
            assert own[-1].any()
            assert own[:, 0].any()
            assert own[:, -1].any()
            left_over[top:bottom, left:right] = 0
        assert not left_over.any()


def test_each_thing_lies_in_its_cell_and_no_two_share_one(scenes: Scenes) -> None:
    step = scenes.style.cell_size
    for things in scenes.things:
        assert 1 <= len(things) <= scenes.style.most
        cells = [thing.cell for thing in things]
        assert cells == sorted(set(cells))
        for thing in things:
            row, column = thing.cell
            top, left, bottom, right = thing.box
            assert row * step <= top < bottom <= (row + 1) * step
            assert column * step <= left < right <= (column + 1) * step


def test_a_caption_can_be_read_back_into_kinds_colours_and_relations(scenes: Scenes) -> None:
    for words, things in zip(scenes.captions, scenes.things, strict=True):
        assert set(words) <= set(scenes.style.words)
        parts = re.split(r" (left of|above) ", " ".join(words))
        assert parts[::2] == [" ".join(["a", thing.colour, thing.kind]).replace("  ", " ") for thing in things]
        for relation, first, second in zip(parts[1::2], things[:-1], things[1:], strict=True):
            same_row = first.cell[0] == second.cell[0]
            assert relation == ("left of" if same_row else "above")
            assert first.cell[1] < second.cell[1] if same_row else first.cell[0] < second.cell[0]


def test_a_shape_has_its_colour_in_the_image() -> None:
    scenes = drawn(SHAPES_ON_NOISE)
    for image, mask, things in zip(scenes.images, scenes.masks, scenes.things, strict=True):
        for thing in things:
            top, left, bottom, right = thing.box
            inside = image[:, top:bottom, left:right][:, mask[top:bottom, left:right] > 0]  # (3, pixels)
            paint = torch.tensor(COLOURS[thing.colour])
            assert torch.allclose(inside / inside.norm(dim=0), (paint / paint.norm())[:, None], atol=1e-5)


def test_every_number_of_things_every_cell_and_every_kind_comes_about_equally_often() -> None:
    scenes = drawn(SHAPES_ON_NOISE, count=3000)
    numbers = torch.tensor([len(things) for things in scenes.things]).bincount()[1:]
    assert (numbers / 3000 - 1 / 3).abs().max() < 0.04
    things = [thing for things in scenes.things for thing in things]
    for possible, counts in (
        (4, Counter(thing.kind for thing in things)),
        (5, Counter(thing.colour for thing in things)),
        (9, Counter(thing.cell for thing in things)),
    ):
        shares = [count / len(things) for count in counts.values()]
        assert len(shares) == possible
        assert max(abs(share * possible - 1) for share in shares) < 0.15


def test_the_same_seed_draws_the_same_scenes_and_another_one_others() -> None:
    first, again, other = drawn(MIXED), drawn(MIXED), drawn(MIXED, seed=2)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.masks, again.masks)
    assert first.things == again.things
    assert not torch.equal(first.masks, other.masks)


def test_a_digit_in_a_scene_is_the_handwriting_that_was_given() -> None:
    digits = handwriting()
    one = Digits(digits.images[:1], digits.labels[:1])
    style = SceneStyle(size=8, cells=1, thing_size=8, kinds=(str(int(one.labels[0])),), most=1)
    scenes = draw_scenes(3, style=style, generator=chance(), digits=one)
    assert torch.equal(scenes.masks, (one.images[0] > 0.35).long().expand(3, 8, 8))


def test_a_style_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="how to draw star, pink"):
        SceneStyle(size=8, cells=1, thing_size=8, kinds=("star",), colours=("pink",), most=1)
    with pytest.raises(ValueError, match="no kind at all"):
        SceneStyle(size=8, cells=1, thing_size=8, kinds=(), most=1)
    with pytest.raises(ValueError, match="do not fit"):
        SceneStyle(size=9, cells=2, thing_size=4, kinds=("cross",))
    with pytest.raises(ValueError, match="do not fit"):
        SceneStyle(size=8, cells=2, thing_size=5, kinds=("cross",))
    with pytest.raises(ValueError, match="4 cells, so a scene cannot hold 5 things"):
        SceneStyle(size=8, cells=2, thing_size=4, kinds=("cross",), most=5)


def test_digits_that_are_not_given_are_asked_for() -> None:
    with pytest.raises(ValueError, match="draws the digit 0: give digits"):
        draw_scenes(2, style=DIGITS_ON_GRATINGS, generator=chance())

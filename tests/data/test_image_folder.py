"""A folder of images and masks: it is read as it was written, and what is wrong is said."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib.data.image_folder import ImageFolderError, read_image_folder


def write(folder: Path, part: str, name: str, pixels: np.ndarray, mode: str | None = None) -> None:
    (folder / part).mkdir(exist_ok=True)
    image = Image.fromarray(pixels.astype(np.uint8))
    if mode == "P":
        image.putpalette([value for index in range(256) for value in (255 - index, index, 7)])
    image.save(folder / part / name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    chance = np.random.default_rng(0)
    for name in ("b", "a"):
        write(tmp_path, "images", f"{name}.png", chance.integers(0, 256, (4, 6, 3)))
        write(tmp_path, "masks", f"{name}.png", chance.integers(0, 3, (4, 6)))
    return tmp_path


def pixels(file: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(file)))


def test_images_and_masks_come_in_the_order_of_their_names_as_they_were_written(folder: Path) -> None:
    found = read_image_folder(folder, num_classes=3)
    assert found.names == ("a", "b")
    assert found.images.shape == (2, 3, 4, 6)
    assert torch.allclose(found.images[1].permute(1, 2, 0) * 255, pixels(folder / "images" / "b.png").float())
    assert torch.equal(found.masks[0], pixels(folder / "masks" / "a.png").long())


def test_grey_images_have_one_channel(folder: Path) -> None:
    assert read_image_folder(folder, num_classes=3, grey=True).images.shape == (2, 1, 4, 6)


def test_a_palettes_indices_are_classes_and_255_is_no_label(folder: Path) -> None:
    classes = np.array([[0, 1, 2, 255, 0, 0]] * 4)
    write(folder, "masks", "a.png", classes, mode="P")
    found = read_image_folder(folder, num_classes=3)
    assert found.masks[0][0].tolist() == [0, 1, 2, -1, 0, 0]


def test_resizing_mixes_pixels_but_no_classes(folder: Path) -> None:
    write(folder, "images", "c.png", np.zeros((9, 5, 3)))
    write(folder, "masks", "c.png", np.array([[0, 2, 0, 2, 0]] * 9))
    found = read_image_folder(folder, num_classes=3, size=(8, 4))
    assert found.images.shape == (3, 3, 8, 4)
    assert set(found.masks[2].unique().tolist()) <= {0, 2}


@pytest.mark.parametrize("part", ["images", "masks"])
def test_a_missing_folder_is_named(folder: Path, part: str) -> None:
    (folder / part).rename(folder / "other")
    with pytest.raises(FileNotFoundError, match=f"There is no folder .*{part}"):
        read_image_folder(folder, num_classes=3)


@pytest.mark.parametrize(("part", "partner"), [("images", "masks"), ("masks", "images")])
def test_a_file_without_a_partner_is_named(folder: Path, part: str, partner: str) -> None:
    (folder / partner / "b.png").unlink()
    with pytest.raises(ImageFolderError, match=f"{part}/b has no partner in .*{partner}"):
        read_image_folder(folder, num_classes=3)


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(ImageFolderError, match="images holds no file"):
        read_image_folder(tmp_path, num_classes=3)


def test_a_hidden_file_is_left_alone(folder: Path) -> None:
    (folder / "images" / ".DS_Store").write_text("x")
    assert len(read_image_folder(folder, num_classes=3).names) == 2


def test_two_files_of_one_name_are_named(folder: Path) -> None:
    write(folder, "images", "a.bmp", np.zeros((4, 6, 3)))
    with pytest.raises(ImageFolderError, match=r"a\.png and a\.bmp have one name"):
        read_image_folder(folder, num_classes=3)


@pytest.mark.parametrize("part", ["images", "masks"])
def test_a_file_that_is_no_image_is_named(folder: Path, part: str) -> None:
    (folder / part / "a.png").write_text("not an image")
    with pytest.raises(ImageFolderError, match=rf"{part}/a\.png cannot be read as an image"):
        read_image_folder(folder, num_classes=3)


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (np.zeros((4, 5)), r"a\.png is 4 × 5 pixels and its image is 4 × 6 pixels"),
        (np.zeros((4, 6, 3)), r"a\.png has the mode RGB"),
        (np.array([[0] * 6, [0, 0, 7, 0, 0, 0]] * 2), r"holds the class 7 \(row 1, column 2\), and classes are 0 to 2"),
    ],
)
def test_a_mask_that_cannot_be_one_is_refused(folder: Path, classes: np.ndarray, told: str) -> None:
    write(folder, "masks", "a.png", classes)
    with pytest.raises(ImageFolderError, match=told):
        read_image_folder(folder, num_classes=3)


def test_a_mask_that_lost_its_numbers_to_compression_is_refused(folder: Path) -> None:
    (folder / "masks" / "a.png").unlink()
    write(folder, "masks", "a.jpg", np.zeros((4, 6)))
    with pytest.raises(ImageFolderError, match="is a JPEG"):
        read_image_folder(folder, num_classes=3)


def test_images_of_several_sizes_need_a_size(folder: Path) -> None:
    write(folder, "images", "c.png", np.zeros((8, 6, 3)))
    write(folder, "masks", "c.png", np.zeros((8, 6)))
    with pytest.raises(
        ImageFolderError, match=r"c\.png is 8 × 6 pixels and the first image is 4 × 6 pixels: give size"
    ):
        read_image_folder(folder, num_classes=3)

"""Read a folder of the reader's own images and masks.

    folder/images/cat-1.png      any format that Pillow reads; read as grey or as RGB
    folder/masks/cat-1.png       the same name without ending; one whole number for each pixel: its class

A mask is an image with one channel (grey, or a palette whose indices are the classes), never a photograph's format
that loses detail, such as JPEG. Everything that is wrong is said with the file it is wrong in.

Chapter: 09-unet.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

VOID = 255
"""What the masks of many data sets hold where a pixel has no label."""


class ImageFolderError(ValueError):
    """A folder of images and masks that cannot be read: the message names the file, what is wrong and the remedy."""


@dataclass(frozen=True)
class LabelledImages:
    """Images with a class for each pixel.

    Attributes:
        images: (count, channels, height, width), float32, between 0 and 1.
        masks: (count, height, width), int64; -1 where a pixel has no label.
        names: of the files, without ending, in order.
    """

    images: Tensor
    masks: Tensor
    names: tuple[str, ...]


def read_image_folder(
    path: str | Path, *, num_classes: int, size: tuple[int, int] | None = None, grey: bool = False
) -> LabelledImages:
    """Read all images of a folder with their masks.

    Args:
        path: a folder that holds the folders `images` and `masks`.
        num_classes: classes are 0 .. num_classes - 1; 255 in a mask means "no label".
        size: height and width that everything is resized to (masks without mixing classes). None: the files must
            all have one size.
        grey: read images with one channel instead of three.

    Returns:
        The images in the order of their names.

    Raises:
        FileNotFoundError: if one of the folders is missing.
        ImageFolderError: if there is no image, a file cannot be read, an image has no mask or a mask no image, two
            files share a name, a mask has several channels, another size than its image or a class too many, or the
            images differ in size and no size is given.

    Chapter: 09-unet.
    """
    path = Path(path)
    pictures, labels = _files(path / "images"), _files(path / "masks")
    for name in sorted(set(pictures) ^ set(labels)):
        here, other = ("images", "masks") if name in pictures else ("masks", "images")
        raise ImageFolderError(f"{path / here / name} has no partner in {path / other}: add a file of that name.")
    if not pictures:
        raise ImageFolderError(f"{path / 'images'} holds no file: put images there, and a mask for each in masks.")
    images: list[Tensor] = []
    masks: list[Tensor] = []
    for name in pictures:
        image = _image(pictures[name], grey=grey)
        mask = _mask(labels[name], num_classes=num_classes)
        if image.size != mask.size:
            raise ImageFolderError(
                f"{labels[name]} is {_sides(mask)} and its image is {_sides(image)}: make both of one size."
            )
        if size is not None:
            image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            mask = mask.resize((size[1], size[0]), Image.Resampling.NEAREST)
        elif images and images[0].shape[-2:] != (image.height, image.width):
            first = f"{images[0].shape[-2]} × {images[0].shape[-1]} pixels"
            raise ImageFolderError(
                f"{pictures[name]} is {_sides(image)} and the first image is {first}: give size=(height, width)."
            )
        pixels = torch.from_numpy(np.array(image, dtype=np.float32) / 255)  # (height, width) or (height, width, 3)
        images.append(pixels[None] if grey else pixels.permute(2, 0, 1))
        labelled = torch.from_numpy(np.array(mask, dtype=np.int64))
        masks.append(labelled.where(labelled != VOID, -1))
    return LabelledImages(torch.stack(images), torch.stack(masks), tuple(pictures))


def _files(folder: Path) -> dict[str, Path]:
    """The files of a folder by their names without ending, in order; hidden ones are left out."""
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}: put images into images/ and masks into masks/.")
    files: dict[str, Path] = {}
    for file in sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")):
        if file.stem in files:
            raise ImageFolderError(f"{file} and {files[file.stem].name} have one name: rename or delete one of them.")
        files[file.stem] = file
    return files


def _open(file: Path) -> Image.Image:
    try:
        image = Image.open(file)
        image.load()
    except (UnidentifiedImageError, OSError) as error:
        raise ImageFolderError(f"{file} cannot be read as an image ({error}): repair it or take it out.") from None
    return image


def _image(file: Path, *, grey: bool) -> Image.Image:
    return _open(file).convert("L" if grey else "RGB")


def _mask(file: Path, *, num_classes: int) -> Image.Image:
    mask = _open(file)
    if mask.format == "JPEG":
        raise ImageFolderError(f"{file} is a JPEG, which changes the numbers that it keeps: save the mask as PNG.")
    if mask.mode not in ("L", "P", "1"):
        raise ImageFolderError(
            f"{file} has the mode {mask.mode}: a mask holds one whole number from 0 to 255 for each pixel, not a "
            "colour. Save it as grey or with a palette."
        )
    classes = np.array(mask, dtype=np.uint8)
    wrong = sorted({int(value) for value in np.unique(classes)} - {*range(num_classes), VOID})
    if wrong:
        row, column = np.argwhere(classes == wrong[0])[0]
        raise ImageFolderError(
            f"{file} holds the class {wrong[0]} (row {row}, column {column}), and classes are 0 to {num_classes - 1}, "
            f"or {VOID} for no label: give the right num_classes, or mend the mask."
        )
    return Image.fromarray(classes)


def _sides(image: Image.Image) -> str:
    return f"{image.height} × {image.width} pixels"

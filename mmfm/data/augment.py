"""Augmentation: one draw of parameters per position, applied by the decoder and then here or on a device.

A crop of the image's own shape (evaluation squashes the whole image into the same square), a flip or a turn,
and one 3 x 4 colour matrix that holds brightness, contrast, saturation and hue at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from mmfm.config.schema import AugmentConfig
from mmfm.data.counter import uniforms

LEFT_RIGHT, UP_DOWN, TRANSPOSE = 1, 2, 4  # bits of a turn: first transpose, then flip
_QUARTER_TURNS = np.array([0, TRANSPOSE | UP_DOWN, LEFT_RIGHT | UP_DOWN, TRANSPOSE | LEFT_RIGHT], np.uint8)
_CV_FLIPS = {LEFT_RIGHT: 1, UP_DOWN: 0, LEFT_RIGHT | UP_DOWN: -1}
_LUMA = np.array([0.299, 0.587, 0.114])
_MID_GREY = 127.5  # contrast turns about a fixed grey: the mean of each image would cost a pass over it
_LANES = 9  # uniform numbers drawn for each position; fixed, so that options do not shift one another


@dataclass
class ImageChanges:
    """Changes of n images: `turns` uint8 (n,) of the bits above, `colour` float32 (n, 3, 4) or None."""

    turns: np.ndarray
    colour: np.ndarray | None

    def nothing(self, row: int) -> bool:
        """Whether an image stays as it is."""
        return self.colour is None and not self.turns[row]

    def of(self, row: int) -> tuple[int, np.ndarray | None]:
        """Turn and colour of one image."""
        return int(self.turns[row]), None if self.colour is None else self.colour[row]

    def __getitem__(self, part: slice) -> ImageChanges:
        return ImageChanges(self.turns[part], None if self.colour is None else self.colour[part])


@dataclass
class Augmentation:
    """All that is drawn for n positions: `crops` float64 (n, 3) of (side share, x, y), and the changes."""

    crops: np.ndarray
    changes: ImageChanges


def draw_augmentation(config: AugmentConfig, seed: int, positions: np.ndarray) -> Augmentation:
    """Parameters for absolute `positions` (n,): a pure function of config, seed and position."""
    u = uniforms(seed, "augment", positions, _LANES)
    low, high = config.scale
    sides = np.sqrt(low + (high - low) * u[:, 0])
    turns = np.zeros(len(u), np.uint8)
    if config.rotate90:
        turns ^= _QUARTER_TURNS[(u[:, 3] * 4).astype(np.int64)]
    if config.flip:
        turns ^= (u[:, 4] * 4).astype(np.uint8)  # both flip bits at once
    return Augmentation(np.column_stack([sides, u[:, 1:3]]), ImageChanges(turns, _colour(config, u[:, 5:])))


def no_augmentation() -> AugmentConfig:
    """The config that leaves every image as it is."""
    return AugmentConfig(
        [1.0, 1.0], flip=False, rotate90=False, brightness=0, contrast=0, saturation=0, hue=0
    )


def passes(turn: int, colour: np.ndarray | None) -> int:
    """How often `augment_image` moves the image between its two buffers."""
    return bool(turn & TRANSPOSE) + bool(turn & (LEFT_RIGHT | UP_DOWN)) + (colour is not None)


def augment_image(image: np.ndarray, spare: np.ndarray, turn: int, colour: np.ndarray | None) -> np.ndarray:
    """Turn and colour one image, uint8 (size, size, 3), using `spare` of the same shape.

    Returns the array that holds the result: `image` after an even number of `passes`, else `spare`.
    """
    if turn & TRANSPOSE:
        cv2.transpose(image, dst=spare)
        image, spare = spare, image
    flips = turn & (LEFT_RIGHT | UP_DOWN)
    if flips:
        cv2.flip(image, _CV_FLIPS[flips], dst=spare)
        image, spare = spare, image
    if colour is not None:
        cv2.transform(image, colour, dst=spare)
        image = spare
    return image


def augment_batch(images: torch.Tensor, changes: ImageChanges) -> torch.Tensor:
    """`augment_image` for a batch at once on its device: uint8 (b, 3, H, W) in, a new tensor like it out.

    Colours are within one step of 255 of the CPU path, which rounds in fixed point.
    """
    turned = torch.empty_like(images)
    for turn in np.unique(changes.turns):
        chosen = torch.from_numpy(np.flatnonzero(changes.turns == turn)).to(images.device)
        turned[chosen] = _turn(images[chosen], int(turn))
    if changes.colour is None:
        return turned
    colour = torch.from_numpy(changes.colour).to(images.device)
    pixels = turned.permute(0, 2, 3, 1).flatten(1, 2).float()  # (b, H*W, 3)
    mixed = torch.baddbmm(colour[:, None, :, 3], pixels, colour[:, :, :3].transpose(1, 2))
    mixed = mixed.round_().clamp_(0, 255).to(torch.uint8)
    return mixed.unflatten(1, images.shape[2:]).permute(0, 3, 1, 2)


def _turn(images: torch.Tensor, turn: int) -> torch.Tensor:
    if turn & TRANSPOSE:
        images = images.transpose(2, 3)
    flipped = [dim for bit, dim in ((UP_DOWN, 2), (LEFT_RIGHT, 3)) if turn & bit]
    return images.flip(flipped) if flipped else images


def _colour(config: AugmentConfig, u: np.ndarray) -> np.ndarray | None:
    """Colour matrices float32 (n, 3, 4) from four uniform numbers each; None where nothing is to change."""
    strengths = (config.brightness, config.contrast, config.saturation)
    if not any(strengths) and not config.hue:
        return None
    brightness, contrast, saturation = (1 + s * (2 * u[:, i] - 1) for i, s in enumerate(strengths))
    grey = np.broadcast_to(_LUMA, (3, 3))
    saturate = saturation[:, None, None] * np.eye(3) + (1 - saturation)[:, None, None] * grey
    matrix = (brightness * contrast)[:, None, None] * (saturate @ _hue_turn(config.hue * (2 * u[:, 3] - 1)))
    offset = np.repeat((1 - contrast)[:, None] * _MID_GREY, 3, axis=1)
    return np.concatenate([matrix, offset[:, :, None]], axis=2).astype(np.float32)


def _hue_turn(shares: np.ndarray) -> np.ndarray:
    """Rotations (n, 3, 3) of RGB about the grey axis by `shares` of the circle (Rodrigues' formula)."""
    angle = 2 * math.pi * shares[:, None, None]
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    return np.cos(angle) * np.eye(3) + np.sin(angle) * across + (1 - np.cos(angle)) / 3

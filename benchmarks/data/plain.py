"""Pictures as they are: objects of one size that fill them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.data.source import Labelled, Part, Source
from scalegroup import ScaleGroupError


@dataclass(frozen=True, kw_only=True)
class Plain(Source):
    """Pictures in [0, 255] on black, divided by 255; there is size 1 only.

    Args:
        train, test: the pictures of the two parts, disjoint.
    """

    train: Labelled
    test: Labelled
    sizes: tuple[float, ...] = (1.0,)
    background: float = 0.0
    recipe: str = "the pictures as they are, divided by 255"

    def draw(self, part: Part, size: float) -> Labelled:
        """Raises `ScaleGroupError` for any size but 1."""
        if size != 1:
            raise ScaleGroupError(
                f"size {size:g} of {self.name}", expected="size 1", mend="leave plain- away for other sizes"
            )
        pictures = self.train if part == "train" else self.test
        return Labelled(pictures.images.float() / 255, pictures.labels)

    def first(self, *, train: int | None = None, test: int | None = None) -> Plain:
        return replace(self, train=self.train.first(train, "train"), test=self.test.first(test, "test"))

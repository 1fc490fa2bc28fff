"""Pictures as they are: objects of one size that fill them."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.data.source import BLACK, Labelled, Part, Pictures
from scalegroup import Boundary, ScaleGroupError


@dataclass(frozen=True, kw_only=True)
class Plain(Pictures):
    """Pictures divided by 255; there is size 1 only."""

    sizes: tuple[float, ...] = (1.0,)
    boundary: Boundary = BLACK
    recipe: str = "the pictures as they are, divided by 255"

    def draw(self, part: Part, size: float) -> Labelled:
        """Raises `ScaleGroupError` for any size but 1."""
        if size != 1:
            raise ScaleGroupError(
                f"size {size:g} of {self.name}", expected="size 1", mend="leave plain- away for other sizes"
            )
        pictures = self.train if part == "train" else self.test
        return Labelled(pictures.images.float() / 255, pictures.labels)

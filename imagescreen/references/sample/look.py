"""What all drawings of products have in common: colours, a patterned surface, and the brand's marks."""

from dataclasses import dataclass

from PIL import Image

from imagescreen.references.sample.marks import Mark
from imagescreen.references.sample.sketch import BLACK, GOLD, STEEL, Colour, Dice


@dataclass(frozen=True, slots=True)
class Look:
    """`cloth` is an RGBA surface of the sketch's size; `dice` decides about proportions and details."""

    dice: Dice
    main: Colour
    second: Colour
    accent: Colour
    cloth: Image.Image
    emblem: Mark
    word: Mark

    def metal(self) -> Colour:
        return self.dice.pick((GOLD, STEEL, STEEL, BLACK, (190, 120, 90)))

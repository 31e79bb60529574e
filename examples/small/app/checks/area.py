"""The library computes."""

import shapes

assert shapes.area(6, 7) == 42
print("an area is right")

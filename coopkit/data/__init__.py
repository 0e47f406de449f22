"""Images to tensors: where they are, how they are cut, and one fixed map to [−1, 1]."""

from coopkit.data.images import Images, load_images, load_whole, to_pixels, to_signals
from coopkit.data.sources import DIGITS, PHOTOGRAPHS, find_images, left_out, place_of
from coopkit.data.table import DataTable

__all__ = [
    "DIGITS",
    "PHOTOGRAPHS",
    "DataTable",
    "Images",
    "find_images",
    "left_out",
    "load_images",
    "load_whole",
    "place_of",
    "to_pixels",
    "to_signals",
]

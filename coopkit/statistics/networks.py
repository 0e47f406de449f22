"""A network that turns images into features, from a file."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from coopkit.errors import DataError

Range = Literal["[-1, 1]", "[0, 1]"]

Features = Callable[[Tensor], Tensor]


@attrs.frozen(eq=False)
class FeatureNetwork:
    """A network whose features are compared; nothing is downloaded.

    Attributes:
        forward: maps images (n, 3, size, size) to features (n, d).
        size: the height and width that it wants, in pixels.
        values: the range of pixels that it wants.
        device: where its images are wanted.
    """

    forward: Features
    size: int = 299
    values: Range = "[-1, 1]"
    device: torch.device = attrs.field(factory=lambda: torch.device("cpu"))

    def features(self, images: Tensor, chunk: int = 64) -> Tensor:
        """Return the features of images.

        Args:
            images: (n, 1 or 3, height, width) in [−1, 1]; grey is repeated three times.
            chunk: images at a time, which bounds the memory.

        Returns:
            (n, d), float64, on the CPU.

        Raises:
            DataError: the network cannot take such images or does not give (n, d) finite numbers.
        """
        with torch.no_grad():
            return torch.cat([self.of_chunk(part) for part in torch.split(images, chunk)])

    def of_chunk(self, images: Tensor) -> Tensor:
        """Return the features of a few images."""
        wanted = self.prepared(images)
        try:
            found = self.forward(wanted)
        except Exception as error:
            raise DataError(
                f"the feature network cannot take images {tuple(wanted.shape)}: {cause_of(error)}"
            ) from error
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(images):
            given = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise DataError(
                f"the feature network must give ({len(images)}, d) features, not {given}"
            )
        if not bool(torch.isfinite(found).all()):
            raise DataError("the feature network gives features that are not finite")
        return found.cpu().double()

    def prepared(self, images: Tensor) -> Tensor:
        """Return images as the network wants them."""
        size = (self.size, self.size)
        coloured = images.expand(-1, 3, -1, -1).to(self.device)
        if coloured.shape[-2:] != size:
            coloured = F.interpolate(coloured, size, mode="bilinear", antialias=True)
        return coloured if self.values == "[-1, 1]" else (coloured + 1) / 2


def cause_of(error: Exception) -> str:
    """Return the line of an error that says what is wrong: of TorchScript it is the last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    interpreted = bool(lines) and "TorchScript interpreter" in lines[0]
    return (lines[-1 if interpreted else 0] if lines else type(error).__name__)[:200]


def load_network(
    path: str | Path,
    size: int = 299,
    values: Range = "[-1, 1]",
    device: str | torch.device = "cpu",
) -> FeatureNetwork:
    """Read a network from a file: TorchScript, or an exported program whose name ends in .pt2.

    Args:
        path: of the file.
        size: the height and width of the images that it wants, in pixels.
        values: the range of pixels that it wants.
        device: where to put it.

    Raises:
        DataError: the file is missing or holds no network.
    """
    path, device = Path(path), torch.device(device)
    if not path.is_file():
        raise DataError(f"the feature network {path} is no file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            forward = read_exported(path) if path.suffix == ".pt2" else read_script(path)
            forward = forward.to(device)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise DataError(
            f"{path} holds no network that torch.jit.load (or, if its name ends in .pt2, "
            f"torch.export.load) can read; weights alone, a state_dict, are none: {reason}"
        ) from error
    return FeatureNetwork(forward, size, values, device)


def read_script(path: Path) -> torch.nn.Module:
    """Return a TorchScript network in evaluation mode."""
    network: torch.nn.Module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    return network.eval()


def read_exported(path: Path) -> torch.nn.Module:
    """Return an exported program as a module."""
    return torch.export.load(path).module()

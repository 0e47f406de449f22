"""A trained pair at another size of signal, where its networks allow it."""

import attrs
from torch import nn

from coopkit.building import build_network
from coopkit.errors import CoopkitError, RunError
from coopkit.interfaces import Shape
from coopkit.starting import Expanded
from coopkit.tasks.trained import Trained


def at_size(trained: Trained, height: int, width: int) -> Trained:
    """Return the same weights in networks for signals of another size.

    Only networks that are convolutional throughout have a size of their own choice, such as the
    texture architectures (section 5.1 of the paper): a larger grid of latents gives a larger
    texture. What a sampler has tuned in training is left behind, since a step size that suits one
    number of pixels is too large for more: the sampler tunes anew.

    Args:
        trained: from `coopkit.load`.
        height: of a signal, in pixels.
        width: of a signal, in pixels.

    Raises:
        RunError: a network, or the law of its latents, is tied to the size that it was trained
            at, or the size is too small.
    """
    channels, *usual = trained.signal_shape
    if usual == [height, width]:
        return trained
    if trained.generator is None:
        raise RunError(
            "the run has no generator to draw another size from; its persistent chains are "
            f"{usual[0]} x {usual[1]}"
        )
    if isinstance(trained.generator, Expanded):
        raise RunError(
            "by generator.start or --prior fitted the generator of this run has a law of its "
            f"latents, fitted at {usual[0]} x {usual[1]}: it draws that size and no other"
        )
    shape = (channels, height, width)
    return attrs.evolve(
        trained,
        signal_shape=shape,
        kept=None,
        generator=rebuilt(trained, "generator", trained.generator, shape),
        descriptor=trained.descriptor and rebuilt(trained, "descriptor", trained.descriptor, shape),
    )


def rebuilt(trained: Trained, kind: str, network: nn.Module, shape: Shape) -> nn.Module:
    """Return a network of the same weights for signals of another shape.

    Raises:
        RunError: there is none.
    """
    size = " x ".join(map(str, shape[1:]))
    try:
        other = build_network(trained.recipe, kind, shape)
    except CoopkitError as error:
        raise RunError(f"signals of {size} cannot be drawn: {error}") from error
    expected = {name: value.shape for name, value in other.state_dict().items()}
    if expected != {name: value.shape for name, value in network.state_dict().items()}:
        usual = " x ".join(map(str, trained.signal_shape[1:]))
        raise RunError(
            f"the {kind} of this run draws {usual} and no other size: not all of it is "
            "convolutional; the texture architectures are"
        )
    other.load_state_dict(network.state_dict())
    return other.to(trained.device).eval()


__all__ = ["at_size"]

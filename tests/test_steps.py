"""The five steps against formulas that need no autograd, on linear networks."""

import math
from copy import deepcopy

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from coopkit.builtin import TextureDescriptor
from coopkit.builtin.langevin import Langevin
from coopkit.measures import gradient_norm
from coopkit.steps import generate, infer, reconstruct, revise, shift_density

sizes = st.integers(1, 7)
seeds = st.integers(0, 2**32)


class TwoLayerF(nn.Module):
    """f(Y) = c·(WY + b), whose gradients are known by heart."""

    def __init__(self, dimension: int, units: int) -> None:
        super().__init__()
        self.w = nn.Linear(dimension, units)
        self.c = nn.Linear(units, 1, bias=False)

    def forward(self, y: Tensor) -> Tensor:
        return self.c(self.w(y)).squeeze(1)


class Plane(nn.Linear):
    """f(Y) = w·Y."""

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension, 1, bias=False)

    def forward(self, y: Tensor) -> Tensor:
        return super().forward(y).squeeze(1)


class Bowl(nn.Module):
    """f(Y) = w·Y − a‖Y‖²/2, whose energy has the gradient (1/s² + a) Y − w."""

    def __init__(self, w: Tensor, a: float) -> None:
        super().__init__()
        self.w = nn.Parameter(w)
        self.a = nn.Parameter(torch.tensor(a, dtype=w.dtype))

    def forward(self, y: Tensor) -> Tensor:
        return y @ self.w - self.a * (y * y).sum(1) / 2


def plain_descent(network: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser whose update is the gradient that it sees, with its sign turned."""
    return torch.optim.SGD(network.parameters(), lr=1.0)


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawing_network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def test_g0_draws_standard_normal_latents_and_adds_noise(seed):
    network = drawing_network()
    draft = generate(network, (2,), 5, 0.3, stream(seed))
    rng = stream(seed)
    assert torch.equal(draft.latents, torch.randn(5, 2, generator=rng))
    noise = torch.randn(5, 3, generator=rng)
    with torch.no_grad():
        drawn = network.eval()(draft.latents)
    torch.testing.assert_close(draft.initial, drawn + 0.3 * noise)


def test_g0_without_noise_is_g_itself(rng):
    network = drawing_network()
    draft = generate(network, (2,), 5, 0.0, rng)
    with torch.no_grad():
        assert torch.equal(draft.initial, network.eval()(draft.latents))


def test_g0_covers_the_law_of_equation_9(rng, assert_gaussian):
    """X̂ and Ŷ = AX̂ + c + ε are jointly Gaussian. False-alarm probability 1.2e-7."""
    network = nn.Linear(2, 2)
    draft = generate(network, (2,), 50_000, 0.7, rng)
    a, c = network.weight.detach().double(), network.bias.detach().double()
    joint = torch.cat([torch.eye(2), a])
    covariance = joint @ joint.T + torch.diag(torch.tensor([0, 0, 0.7**2, 0.7**2]))
    both = torch.cat([draft.latents, draft.initial], 1)
    assert_gaussian(both, torch.cat([torch.zeros(2), c]), covariance)


def test_sampling_steps_leave_network_and_global_stream_alone(rng):
    generator, descriptor = drawing_network(), Plane(3)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    x, y = torch.randn(5, 2), torch.randn(5, 3)
    global_stream = torch.get_rng_state()
    generate(generator, (2,), 5, 0.3, rng)
    revise(descriptor, 1.0, Langevin(), y, 2, rng)
    infer(generator, 0.3, Langevin(), x, y, 2, rng)
    assert torch.equal(torch.get_rng_state(), global_stream)
    assert all(torch.equal(before[name], value) for name, value in generator.state_dict().items())
    assert all(module.training for module in generator.modules())
    assert all(weight.grad is None for weight in [*generator.parameters(), descriptor.weight])


def test_no_gradient_passes_from_one_step_to_the_next(rng):
    """S2 drawn from g(X) with its graph teaches g as S2 without it does, not itself."""
    updates = []
    for draft in (lambda g, x: g(x), lambda g, x: g(x).detach()):
        torch.manual_seed(0)
        generator, descriptor, x = nn.Linear(2, 3), Plane(3), torch.randn(5, 2)
        revised = revise(descriptor, 1.0, Langevin(), draft(generator, x), 2, stream(1)).revised
        assert not revised.requires_grad
        graph = revised + draft(generator, x) - draft(generator, x).detach()
        latents = infer(generator, 0.3, Langevin(), graph[:, :2], graph, 0, rng).latents
        assert not latents.requires_grad
        shift_density(descriptor, plain_descent(descriptor), revised, graph)
        assert generator.weight.grad is None
        reconstruct(generator, plain_descent(generator), x, graph, 1.0)
        updates.append([generator.weight.detach().clone(), descriptor.weight.detach().clone()])
    for one, other in zip(*updates, strict=True):
        assert one.equal(other)


def test_d1_is_langevin_revision_of_equation_6(seed):
    descriptor, y, delta = Plane(3), torch.randn(5, 3), 0.2
    rng, by_hand = stream(seed), y
    for _ in range(3):
        drift = by_hand / 0.9**2 - descriptor.weight.detach()
        by_hand = by_hand - delta**2 / 2 * drift + delta * torch.randn(5, 3, generator=rng)
    revised = revise(descriptor, 0.9, Langevin(step_size=delta), y, 3, stream(seed)).revised
    torch.testing.assert_close(revised, by_hand)


def test_no_steps_leave_signals_and_latents_as_they_are(rng):
    x, y = torch.randn(5, 2), torch.randn(5, 3)
    assert torch.equal(revise(Plane(3), 1.0, Langevin(), y, 0, rng).revised, y)
    assert torch.equal(infer(drawing_network(), 0.3, Langevin(), x, y, 0, rng).latents, x)


def test_d1_samples_the_descriptor(rng, assert_gaussian):
    """f(Y) = w·Y gives N(s²w, s²I), with Langevin's bias. False-alarm probability 1.2e-7."""
    descriptor, s, delta = Plane(3), 0.8, 0.7
    start = torch.zeros(50_000, 3)
    revised = revise(descriptor, s, Langevin(step_size=delta), start, 60, rng).revised
    mean = s**2 * descriptor.weight.detach().double().squeeze(0)
    assert_gaussian(revised, mean, s**2 / (1 - delta**2 / (4 * s**2)) * torch.eye(3).double())


def test_g1_samples_the_posterior_of_factor_analysis(rng, assert_gaussian):
    """P = I + A'A/σ² and mean P⁻¹A'(Y − c)/σ², with Langevin's bias (I − δ²P/4)⁻¹P⁻¹.

    Every chain has a signal of its own. False-alarm probability 1.2e-7.
    """
    generator, sigma, delta, chains = nn.Linear(2, 3), 0.6, 0.8, 50_000
    generator.weight.data = torch.tensor([[0.9, 0.2], [-0.4, 0.5], [0.1, 0.6]])
    a, c = generator.weight.detach().double(), generator.bias.detach().double()
    draft = generate(generator, (2,), chains, sigma, rng)
    sampler = Langevin(step_size=delta)
    start = torch.zeros(chains, 2)
    latents = infer(generator, sigma, sampler, start, draft.initial, 60, rng).latents
    p = torch.eye(2) + a.T @ a / sigma**2
    mean = (draft.initial - c) @ a @ p.inverse() / sigma**2
    covariance = (torch.eye(2) - delta**2 / 4 * p).inverse() @ p.inverse()
    assert_gaussian(latents - mean, torch.zeros(2), covariance)


@settings(deadline=None, max_examples=20)
@given(dimension=sizes, units=sizes, observed=sizes, revised=sizes, seed=seeds)
def test_d2_ascends_along_equation_7(dimension, units, observed, revised, seed):
    """The means are over each batch of its own size; ∂f/∂W = cY', ∂f/∂b = c, ∂f/∂c = WY + b."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        f = TwoLayerF(dimension, units).double()
        y = torch.randn(observed, dimension).double() + 1
        y_revised = torch.randn(revised, dimension).double()
    w, b, c = (p.detach().clone() for p in (f.w.weight, f.w.bias, f.c.weight.squeeze(0)))
    difference = y.mean(0) - y_revised.mean(0)
    directions = {"w.weight": torch.outer(c, difference), "w.bias": 0 * b}
    directions["c.weight"] = (w @ difference)[None]
    before = {name: value.clone() for name, value in f.state_dict().items()}
    shifted = shift_density(f, plain_descent(f), y, y_revised)
    for name, value in f.state_dict().items():
        torch.testing.assert_close(value - before[name], directions[name], atol=1e-12, rtol=1e-9)
    norm = sum((direction**2).sum() for direction in directions.values()) ** 0.5
    torch.testing.assert_close(shifted.gradient_norm, norm)
    torch.testing.assert_close(shifted.f_observed, c @ (w @ y.mean(0) + b))
    torch.testing.assert_close(shifted.f_revised, c @ (w @ y_revised.mean(0) + b))


@pytest.mark.parametrize("s", [0.4, 1.7, math.inf])
@given(dimension=sizes, observed=sizes, revised=sizes, gamma=st.floats(0.01, 3), seed=seeds)
def test_d2_descends_along_the_gradient_of_its_penalty(
    s, dimension, observed, revised, gamma, seed
):
    """γ/2 · s² mean ‖λY − w‖² has the gradients −γs² mean(λY − w) and γs² mean (λY − w)·Y."""
    rng = stream(seed)
    y = torch.randn(observed, dimension, generator=rng).double() + 1
    y_revised = torch.randn(revised, dimension, generator=rng).double()
    w, a = torch.randn(dimension, generator=rng).double(), 0.3
    f = Bowl(w.clone(), a)
    shifted = shift_density(f, plain_descent(f), y, y_revised, score_penalty=gamma, reference_std=s)
    unit, score = (1.0 if s == math.inf else s**2), (s**-2 + a) * y - w
    ascent = y.mean(0) - y_revised.mean(0) + gamma * unit * score.mean(0)
    torch.testing.assert_close(f.w.detach() - w, ascent)
    squares = (y_revised**2).sum(1).mean() - (y**2).sum(1).mean()
    moved = squares / 2 - gamma * unit * (score * y).sum(1).mean()
    torch.testing.assert_close(f.a.detach() - a, moved)
    torch.testing.assert_close(shifted.penalty, gamma / 2 * unit * (score**2).sum(1).mean())
    torch.testing.assert_close(shifted.f_observed, (y @ w - a * (y * y).sum(1) / 2).mean())
    assert not shifted.penalty.requires_grad
    assert y.grad is None


@pytest.mark.parametrize(("gamma", "s", "std"), [(0.0, 0.5, 1.0), (1.0, 0.5, 1.0), (0.3, 2.0, 0.7)])
def test_what_the_penalty_makes_of_a_gaussian(gamma, s, std):
    """The precision λ that D2 ends at solves 2γs²σ²λ² + σ²λ = 1; that of the data is 1/σ²."""
    f = Bowl(torch.zeros(1).double(), 0.0)
    optimizer = torch.optim.SGD(f.parameters(), lr=0.2)
    y = torch.tensor([[std], [-std]]).double()
    for _ in range(2000):
        drawn = y / std * (s**-2 + f.a.detach()) ** -0.5
        shift_density(f, optimizer, y, drawn, score_penalty=gamma, reference_std=s)
    a, b = 2 * gamma * s**2 * std**2, std**2
    expected = ((b**2 + 4 * a) ** 0.5 - b) / (2 * a) if gamma else 1 / b
    assert (s**-2 + f.a).item() == pytest.approx(expected, rel=1e-6)


class Normalized(nn.Module):
    """f(Y) = c·b(Y), b batch normalisation of one entry without weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Parameter(torch.tensor(2.0).double())
        self.b = nn.BatchNorm1d(1, eps=1e-30, affine=False, track_running_stats=False)

    def forward(self, y: Tensor) -> Tensor:
        return self.c * self.b(y).squeeze(1)


def test_the_slope_of_a_batch_normalisation_is_that_of_the_observed_alone(seed):
    """Σ over the observed of f, not over all: of all normalised values the sum is 0, and flat."""
    f, y = Normalized(), torch.tensor([[1.0], [3.0]]).double()
    drawn, s = torch.tensor([[0.0], [4.0]]).double(), 10.0
    shifted = shift_density(f, plain_descent(f), y, drawn, score_penalty=1.0, reference_std=s)
    batch, c = torch.cat([y, drawn]), 2.0
    std = batch.std(correction=0)
    centred = (batch - batch.mean()) / std
    slope = c / std * (1 - 2 / 4 - centred * centred[:2].sum() / 4)
    expected = (s * (slope[:2] - y / s**2)).square().mean() / 2
    torch.testing.assert_close(shifted.penalty, expected)


@pytest.mark.parametrize(
    ("normalization", "gamma", "passes"),
    [("none", 1.0, [3, 2]), ("none", 0.0, [5]), ("batch", 1.0, [5]), ("instance", 1.0, [3, 2])],
)
def test_only_what_is_differentiated_twice_passes_alone(
    normalization, gamma, passes, seed, monkeypatch
):
    """The same update as in one pass, power iterations of a spectral norm included."""
    table = TextureDescriptor(
        filters=(4, 3), kernels=(3, 3), strides=(1, 2), nonlinearity="leaky_relu",
        normalization=normalization, spectral_norm=0 if normalization == "batch" else 1.5,
    )  # fmt: skip
    apart = table.build((1, 9, 8)).double()
    together, seen = deepcopy(apart), []
    apart.register_forward_pre_hook(lambda network, inputs: seen.append(len(inputs[0])))
    y, drawn = torch.randn(5, 1, 9, 8).double().split([3, 2])
    shifts = []
    penalty = {"score_penalty": gamma, "reference_std": 2.0}
    for f in (apart, together):
        shifts.append(shift_density(f, plain_descent(f), y, drawn, **penalty))
        monkeypatch.setattr("coopkit.steps.joins_batch", lambda network: True)
    assert seen == passes
    torch.testing.assert_close(attrs.astuple(shifts[0]), attrs.astuple(shifts[1]))
    torch.testing.assert_close(apart.state_dict(), together.state_dict())


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_d2_teaches_nobody_but_the_descriptor(gamma, seed):
    f, g = Bowl(torch.zeros(2).double(), 0.3), Plane(2).double()
    y = torch.randn(3, 2).double().requires_grad_()
    drawn = y * g(y)[:, None]
    shift_density(f, plain_descent(f), y, drawn, score_penalty=gamma, reference_std=1.0)
    assert y.grad is None
    assert g.weight.grad is None


def test_d2_takes_signals_that_can_have_no_gradient(seed):
    f = Bowl(torch.zeros(2).double(), 0.3)
    with torch.inference_mode():
        y = torch.randn(3, 2).double()
    shifted = shift_density(f, plain_descent(f), y, y + 1, score_penalty=1.0, reference_std=2.0)
    torch.testing.assert_close(
        shifted.penalty, 2 * (0.55 * y.clone()).square().sum(1).mean(), check_dtype=False
    )


def test_without_a_penalty_d2_tells_of_none(seed):
    f, y = Plane(3), torch.randn(4, 3)
    assert shift_density(f, plain_descent(f), y + 1, y).penalty is None


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"score_penalty": 1.0}, "needs the reference_std"),
        ({"score_penalty": -1.0, "reference_std": 1.0}, "must be >= 0: -1.0"),
        ({"score_penalty": math.nan, "reference_std": 1.0}, "must be >= 0: nan"),
    ],
)
def test_a_penalty_that_cannot_be_is_refused(given, complaint, seed):
    f, y = Plane(3), torch.randn(4, 3)
    before = f.weight.detach().clone()
    with pytest.raises(ValueError, match=complaint):
        shift_density(f, plain_descent(f), y, y, **given)
    assert torch.equal(f.weight, before)


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_a_descriptor_that_gives_a_column_is_refused(gamma, rng):
    """Without its nn.Flatten(0); against (n,) its f would broadcast to (n, n)."""
    f, y = nn.Linear(3, 1), torch.randn(4, 3)
    before = f.weight.detach().clone()
    said = r"shape \({0}, 1\) for {0} chains; it must give \({0},\), one number for each"
    with pytest.raises(ValueError, match=said.format(4 if gamma else 9)):
        shift_density(
            f, plain_descent(f), y, torch.randn(5, 3), score_penalty=gamma, reference_std=1.0
        )
    assert torch.equal(f.weight, before)
    with pytest.raises(ValueError, match=said.format(4)):
        revise(f, 1.0, Langevin(), y, 2, rng)


@pytest.mark.parametrize("sigma", [0.0, -0.3, math.nan])
def test_noise_that_cannot_be_is_refused(sigma, rng):
    """σ = 0 would make every weight of g NaN."""
    g, x, y = nn.Linear(2, 3), torch.randn(4, 2), torch.randn(4, 3)
    before = g.weight.detach().clone()
    for updates in (0, 1):
        with pytest.raises(ValueError, match=f"noise_std must be > 0: {sigma}"):
            reconstruct(g, plain_descent(g), x, y, sigma, updates)
    for steps in (0, 1):
        with pytest.raises(ValueError, match=f"'noise_std' must be > 0: {sigma}"):
            infer(g, sigma, Langevin(), x, y, steps, rng)
    if sigma == 0:
        assert generate(g, (2,), 4, sigma, rng).initial.isfinite().all()
    else:
        with pytest.raises(ValueError, match=f"noise_std must be >= 0: {sigma}"):
            generate(g, (2,), 4, sigma, rng)
    assert torch.equal(g.weight, before)


def ascent_by_hand(a: Tensor, c: Tensor, x: Tensor, y: Tensor, sigma: float) -> tuple[Tensor, ...]:
    """Return σ⁻² mean (Y − g(X)) ∂g/∂W for g(X) = AX + c."""
    error = (y - x @ a.T - c) / sigma**2
    return error.T @ x / len(x), error.mean(0)


@settings(deadline=None, max_examples=20)
@given(signal=sizes, latent=sizes, chains=sizes, updates=st.integers(0, 3), seed=seeds)
def test_g2_ascends_along_equation_14_as_often_as_asked(signal, latent, chains, updates, seed):
    sigma = 3.0
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        g = nn.Linear(latent, signal).double()
        x, y = torch.randn(chains, latent).double(), torch.randn(chains, signal).double()
    a, c = g.weight.detach().clone(), g.bias.detach().clone()
    first = ascent_by_hand(a, c, x, y, sigma)
    learnt = reconstruct(g, plain_descent(g), x, y, sigma, updates)
    for _ in range(updates):
        ascent = ascent_by_hand(a, c, x, y, sigma)
        a, c = a + ascent[0], c + ascent[1]
    torch.testing.assert_close(g.weight.detach(), a)
    torch.testing.assert_close(g.bias.detach(), c)
    torch.testing.assert_close(learnt.reconstructed, x @ a.T + c)
    norm = sum((direction**2).sum() for direction in first) ** 0.5 if updates else torch.zeros(())
    torch.testing.assert_close(learnt.gradient_norm, norm)


def test_g2_sums_over_the_entries_of_a_signal_of_any_shape(seed):
    """Two pixels that say the same pull twice as hard as one."""
    x, y, g = torch.ones(3, 1), torch.ones(3, 2, 4, 5), nn.Linear(1, 1, bias=False)
    weight = g.weight.item()

    class Image(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return g(x)[:, :, None, None].expand(3, 2, 4, 5)

    reconstruct(Image(), plain_descent(g), x, y, 0.5)
    assert g.weight.item() - weight == pytest.approx(40 * (1 - weight) / 0.5**2, rel=1e-4)


def test_learning_forgets_the_gradients_of_the_last_iteration(seed):
    f, y = Plane(3), torch.randn(4, 3)
    for _ in range(2):
        before = f.weight.detach().clone()
        shift_density(f, plain_descent(f), y + 1, y)
        torch.testing.assert_close(f.weight.detach() - before, torch.ones(1, 3))


def test_s3_is_drawn_in_evaluation_mode(rng):
    g, x = drawing_network(), torch.randn(5, 2)
    learnt = reconstruct(g, plain_descent(g), x, torch.randn(5, 3), 0.5)
    assert not learnt.reconstructed.requires_grad
    assert all(module.training for module in g.modules())
    with torch.no_grad():
        assert torch.equal(learnt.reconstructed, g.eval()(x))


def test_the_gradient_norm_leaves_out_parameters_without_gradient():
    f = TwoLayerF(2, 2)
    assert gradient_norm(plain_descent(f)) == 0
    f.c.weight.grad = torch.tensor([[3.0, 4.0]])
    assert gradient_norm(plain_descent(f)) == 5


def test_gradients_go_through_the_given_backward_pass(seed):
    f, g, losses = Plane(3), nn.Linear(2, 3), []

    def backward(loss: Tensor) -> None:
        losses.append(loss.item())
        loss.backward()

    y, x = torch.randn(4, 3), torch.randn(4, 2)
    shifted = shift_density(f, plain_descent(f), y, y + 1, backward)
    error = ((y - g(x)) ** 2).sum(1).mean().item()
    reconstruct(g, plain_descent(g), x, y, 0.5, backward=backward)
    difference = (shifted.f_revised - shifted.f_observed).item()
    assert losses == pytest.approx([difference, error / (2 * 0.5**2)], rel=1e-5)

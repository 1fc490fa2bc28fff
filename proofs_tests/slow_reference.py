"""The jet layer of one scale channel, written anew and naively: what the library is tested against.

Nothing of scalegroup is imported. Kernels are lists made with `math` and Bessel functions, an image is extended sample
by sample, once, by the whole reach of the filters, and derivative maps are built one after the other, each with two
1-D convolution kernels, before eq 6 and 11 combine them. Where the filters are cut (`radius`: of the 1-D Gaussian,
without the stencils) is handed in. x runs along the last axis, y along the one before it.
"""

import math
from functools import cache
from itertools import product

import numpy as np
from scipy.special import ive

KERNELS = ("discrete", "sampled", "normalised", "integrated", "derivatives", "iso")
STENCIL_RADIUS = {"discrete": 1, "sampled": 1, "normalised": 1, "integrated": 0, "derivatives": 0, "iso": 2}
"""Of the 2-jet."""
TWO_JET = ((0, 1), (1, 0), (0, 2), (1, 1), (2, 0))
"""How often along y and along x: Lx, Ly, Lxx, Lxy, Lyy."""


def gauss(x, sigma):
    """g(x; σ) in one dimension (eq 5)."""
    return math.exp(-(x**2) / (2 * sigma**2)) / math.sqrt(2 * math.pi * sigma**2)


def gauss_x(x, sigma):
    """g'(x; σ)."""
    return -x / sigma**2 * gauss(x, sigma)


def gauss_xx(x, sigma):
    """g''(x; σ)."""
    return (x**2 / sigma**4 - 1 / sigma**2) * gauss(x, sigma)


def gauss_xxx(x, sigma):
    """g'''(x; σ)."""
    return (3 * x / sigma**4 - x**3 / sigma**6) * gauss(x, sigma)


def gauss_xxxx(x, sigma):
    """g''''(x; σ)."""
    return (x**4 / sigma**8 - 6 * x**2 / sigma**6 + 3 / sigma**4) * gauss(x, sigma)


def mass(x, sigma):
    """∫ of g from 0 to x."""
    return 0.5 * math.erf(x / (sigma * math.sqrt(2)))


def unit_mass(taps):
    """The taps over their sum."""
    total = math.fsum(taps)
    return [tap / total for tap in taps]


def convolve(first, second):
    """The full convolution of two lists of taps."""
    result = [0.0] * (len(first) + len(second) - 1)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            result[i + j] += a * b
    return result


def derivative_kernels(kernel, sigma, radius, derivatives=TWO_JET):
    """Pairs (along y, along x) of 1-D convolution kernels for Lx, Ly, Lxx, Lxy, Lyy, …, all of one odd length.

    As kernels of a convolution, (h ∗ f)(n) = Σ h(m) f(n - m), so δx is (½, 0, -½). `derivatives`: orders of
    differentiation along y and along x.
    """
    n = range(-radius, radius + 1)
    if kernel == "derivatives":
        lines = [[f(k, sigma) for k in n] for f in (gauss, gauss_x, gauss_xx, gauss_xxx, gauss_xxxx)]
    elif kernel == "integrated":
        lines = [[mass(k + 0.5, sigma) - mass(k - 0.5, sigma) for k in n]]
        lines += [[f(k + 0.5, sigma) - f(k - 0.5, sigma) for k in n] for f in (gauss, gauss_x, gauss_xx, gauss_xxx)]
    elif kernel == "iso":
        blur = unit_mass([gauss(k, math.sqrt(sigma**2 - 1 / 3)) for k in n])
        stencils = [[0, 1 / 6, 4 / 6, 1 / 6, 0], [0, 0.5, 0, -0.5, 0], [1 / 12, 8 / 12, -18 / 12, 8 / 12, 1 / 12]]
        lines = [convolve(blur, stencil) for stencil in stencils]
    else:
        blur = {
            "discrete": lambda: unit_mass([float(ive(abs(k), sigma**2)) for k in n]),
            "sampled": lambda: [gauss(k, sigma) for k in n],
            "normalised": lambda: unit_mass([gauss(k, sigma) for k in n]),
        }[kernel]()
        stencils = [[0, 1, 0], [0.5, 0, -0.5], [1, -2, 1]]
        if max(map(max, derivatives)) > 2:
            stencils = [[0, *stencil, 0] for stencil in stencils] + [[0.5, -1, 0, 1, -0.5], [1, -4, 6, -4, 1]]
        lines = [convolve(blur, stencil) for stencil in stencils]
    return [(lines[along_y], lines[along_x]) for along_y, along_x in derivatives]


def outside(position, size, boundary):
    """The index that an axis of `size` samples shows at a position anywhere; None for the background."""
    if 0 <= position < size:
        return position
    if boundary in ("zero", "background"):
        return None
    if boundary == "replicate":
        return 0 if position < 0 else size - 1
    assert boundary == "reflect", boundary
    while size > 1 and not 0 <= position < size:
        position = -position if position < 0 else 2 * (size - 1) - position
    return position if size > 1 else 0


def extended(image, reach, boundary, background=0.0):
    """A single map with `reach` more samples on every side."""
    height, width = image.shape
    result = np.full((height + 2 * reach, width + 2 * reach), background if boundary == "background" else 0.0)
    columns = [outside(u - reach, width, boundary) for u in range(width + 2 * reach)]
    for v in range(height + 2 * reach):
        row = outside(v - reach, height, boundary)
        for u, column in enumerate(columns):
            if row is not None and column is not None:
                result[v, u] = image[row, column]
    return result


def convolved(image, along_y, along_x):
    """The valid part of the convolution with along_y ⊗ along_x, tap by tap."""
    reach = len(along_x) // 2
    height, width = (size - 2 * reach for size in image.shape)
    rows = np.zeros((height, image.shape[1]))
    for m in range(-reach, reach + 1):
        rows += along_y[reach + m] * image[reach - m : reach - m + height]
    result = np.zeros((height, width))
    for m in range(-reach, reach + 1):
        result += along_x[reach + m] * rows[:, reach - m : reach - m + width]
    return result


def jet_maps(images, sigma, kernel, radius, boundary, background=0.0, derivatives=TWO_JET):
    """Lx, Ly, Lxx, Lxy, Lyy, … per pixel (not scale-normalised): `[batch, in, y, x]` → `[batch, in, jet, y, x]`.

    `background`: one value, or one per channel.
    """
    values = np.broadcast_to(background, images.shape[1])
    pairs = derivative_kernels(kernel, sigma, radius, derivatives)
    reach = len(pairs[0][0]) // 2
    result = np.empty((*images.shape[:2], len(pairs), *images.shape[2:]))
    for b, i in np.ndindex(*images.shape[:2]):
        wide = extended(images[b, i], reach, boundary, values[i])
        for j, (along_y, along_x) in enumerate(pairs):
            result[b, i, j] = convolved(wide, along_y, along_x)
    return result


def jet_conv(images, coefficients, offset, sigma, kernel, radius, boundary, background=0.0, derivatives=TWO_JET):
    """Eq 6 and 11: C₀ + Σ σ(Cx Lx + Cy Ly) + ½σ²(Cxx Lxx + 2 Cxy Lxy + Cyy Lyy) + …, to `[batch, out, y, x]`.

    By Taylor's theorem the next terms have σᵏ/(m!·n!), m and n times along x and y. Coefficients of fewer inputs than
    there are belong to groups, one behind the other.
    """
    maps = jet_maps(images, sigma, kernel, radius, boundary, background, derivatives)
    result = np.empty((len(images), len(offset), *images.shape[2:]))
    inputs = coefficients.shape[1]
    outputs = len(offset) * inputs // images.shape[1]
    for b, o in np.ndindex(*result.shape[:2]):
        total = np.full(images.shape[2:], float(offset[o]))
        for i, (j, (m, n)) in product(range(inputs), enumerate(derivatives)):
            factor = sigma ** (m + n) / (math.factorial(m) * math.factorial(n))
            total += factor * float(coefficients[o, i, j]) * maps[b, o // outputs * inputs + i, j]
        result[b, o] = total
    return result


# -- affine Gaussians -------------------------------------------------------------------------------------------------

CORRELATIONS = ([0, 0, 1, 0, 0], [0, -0.5, 0, 0.5, 0], [0, 1, -2, 1, 0], [-0.5, 1, 0, -1, 0.5], [1, -4, 6, -4, 1])
"""Differences of order 0 to 4 along one axis: δ, δx, δxx, δx δxx, δxx δxx, as correlations."""


def affine_taps(cxx, cxy, cyy, radius):
    """The discrete affine Gaussian, unit mass on the square of that radius, as a product of four 1-D kernels.

    s₁s₂ = ½cos(ω₁ - ω₂) - ½cos(ω₁ + ω₂), and exp(z cos φ) = Σ Iₙ(z) exp(inφ): Bessel functions along x, y, (1, 1) and
    (1, -1), the last of alternating signs.
    """
    far = 4 * radius + 20
    taps = np.zeros((2 * far + 1, 2 * far + 1))
    taps[far, far] = 1.0
    for (step_x, step_y), z in (((1, 0), cxx), ((0, 1), cyy), ((1, 1), cxy / 2), ((1, -1), -cxy / 2)):
        spread = np.zeros_like(taps)
        for n in range(-far // 2, far // 2 + 1):
            sign = -1 if z < 0 and n % 2 else 1
            spread += sign * float(ive(abs(n), abs(z))) * np.roll(taps, (n * step_y, n * step_x), axis=(0, 1))
        taps = spread
    taps = taps[far - radius : far + radius + 1, far - radius : far + radius + 1]
    return taps / math.fsum(taps.flatten())


def directional_stencil(along_v, along_u, angle):
    """(c δx + s δy)ᵐ (c δy - s δx)ⁿ multiplied out, m times along u and n times along v, `[5, 5]` over y and x."""
    c, s = math.cos(angle), math.sin(angle)
    result = np.zeros((5, 5))
    for i, k in product(range(along_u + 1), range(along_v + 1)):
        factor = math.comb(along_u, i) * c ** (along_u - i) * s**i
        factor *= math.comb(along_v, k) * (-s) ** (along_v - k) * c**k
        result += factor * np.outer(CORRELATIONS[i + k], CORRELATIONS[along_u - i + along_v - k])
    return result


def correlated(image, taps):
    """The valid part of a correlation, place by place."""
    width = len(taps)
    result = np.empty((image.shape[0] - width + 1, image.shape[1] - width + 1))
    for y, x in np.ndindex(*result.shape):
        result[y, x] = (taps * image[y : y + width, x : x + width]).sum()
    return result


def affine_jet_conv(images, coefficients, offset, sigma, elongation, radius, derivatives=TWO_JET, smoothed=0.0):
    """C₀ + Σ C[o, i, j, c]·(elongation·σ)ᵐσⁿ/(m! n!)·∂uᵐ∂vⁿ of the affine Gaussians of all directions, where they fit.

    Derivatives are told as orders along v and along u. Smoothing by `smoothed` has been done already.
    """
    inputs, orientations = coefficients.shape[1:3]
    outputs = len(offset) * inputs // images.shape[1]
    lost = radius + 2
    shape = tuple(size - 2 * lost for size in images.shape[2:])
    result = np.zeros((len(images), len(offset), *shape))
    result += np.asarray(offset)[:, None, None]
    for j in range(orientations):
        angle = math.pi * j / orientations
        c, s, along, across = math.cos(angle), math.sin(angle), (elongation * sigma) ** 2, sigma**2
        covariance = along * c * c + across * s * s, (along - across) * c * s, along * s * s + across * c * c
        taps = affine_taps(covariance[0] - smoothed**2, covariance[1], covariance[2] - smoothed**2, radius)
        for b, i in np.ndindex(*images.shape[:2]):
            smooth = correlated(images[b, i], taps)
            for number, (n, m) in enumerate(derivatives):
                factor = (elongation * sigma) ** m * sigma**n / (math.factorial(m) * math.factorial(n))
                found = factor * correlated(smooth, directional_stencil(n, m, angle))
                for o in range(i // inputs * outputs, (i // inputs + 1) * outputs):
                    result[b, o] += coefficients[o, i % inputs, j, number] * found
    return result


def squeeze_excite(images, weights, offsets, sigma, kernel, radius, average=None):
    """Hu et al. 2018, eq 2 to 4, place by place, with a Gaussian average around each in place of the picture's mean.

    `weights` and `offsets`: of the map to the middle, and of that back. `average`: what takes its place.
    """
    if average is None:
        average = jet_maps(images, sigma, kernel, radius, "reflect", derivatives=((0, 0),))[:, :, 0]
    result = np.empty_like(images)
    for b, i, y, x in np.ndindex(*images.shape):
        total = float(offsets[1][i])
        for h, offset in enumerate(offsets[0]):
            seen = sum(float(weights[0][h, j]) * average[b, j, y, x] for j in range(images.shape[1]))
            total += float(weights[1][i, h]) * max(0.0, seen + float(offset))
        result[b, i, y, x] = images[b, i, y, x] / (1 + math.exp(-total))
    return result


# -- lifting ----------------------------------------------------------------------------------------------------------

LIFTINGS = ("band-limited", "sampled")
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(400)  # enough for cosines of up to 100 periods over [-π, π]


def band_integral(function, sigma):
    """(1/2π)∫ exp(-σ²ω²/2)·function(ω) dω over [-π, π], numerically."""
    frequencies = math.pi * _NODES
    return float(_WEIGHTS @ (np.exp(-(sigma**2) * frequencies**2 / 2) * function(frequencies))) / 2


@cache
def band_limited(x, sigma):
    """The Gaussian of the band-limited interpolant of the pixels, at x."""
    return band_integral(lambda w: np.cos(w * x), sigma)


@cache
def band_limited_beyond(x, sigma):
    """Σ band_limited(n - position) over all n ≥ N, x = position - N + ½: the weight of half a world."""
    return 0.5 + band_integral(lambda w: np.sin(w * x) / (2 * np.sin(w / 2)), sigma)


def lifting_row(position, size, sigma, kernel, boundary):
    """What each pixel of an axis weighs in a sample at `position`, counted in pixels from the first; exactly.

    A band-limited row has the tails of a sinc, so worlds without end are summed in closed form: a mirrored one is
    periodic, which leaves some frequencies, and a replicated one is constant on either side.
    """
    row = np.zeros(size)
    if kernel == "sampled":
        near = range(math.floor(position - 12 * sigma) - 1, math.ceil(position + 12 * sigma) + 2)
        for n, weight in zip(near, unit_mass([gauss(n - position, sigma) for n in near]), strict=True):
            source = outside(n, size, boundary)
            if source is not None:
                row[source] += weight
    elif boundary == "reflect":
        period = max(2 * (size - 1), 1)
        for n in range(period):
            for k in range(-(period // 2), period // 2 + 1):
                frequency = 2 * math.pi * k / period
                half = 0.5 if abs(2 * k) == period else 1.0  # at ±π, where the band ends
                weight = (
                    half * math.exp(-((sigma * frequency) ** 2) / 2) * math.cos(frequency * (n - position)) / period
                )
                row[outside(n, size, boundary)] += weight
    else:
        row += [band_limited(n - position, sigma) for n in range(size)]
        if boundary == "replicate":
            row[0] += band_limited_beyond(-position - 0.5, sigma)
            row[-1] += band_limited_beyond(position - size + 0.5, sigma)
    return row


def lift(images, along_y, along_x, sigma, kernel, boundary, background=0.0):
    """Images `[batch, channel, y, x]` smoothed by σ pixels, at positions in pixels from their centre."""
    values = np.broadcast_to(background if boundary == "background" else 0.0, images.shape[1])
    height, width = images.shape[2:]
    rows_y = [lifting_row(p + (height - 1) / 2, height, sigma, kernel, boundary) for p in along_y]
    rows_x = [lifting_row(p + (width - 1) / 2, width, sigma, kernel, boundary) for p in along_x]
    result = np.empty((*images.shape[:2], len(rows_y), len(rows_x)))
    for b, c, y, x in np.ndindex(*result.shape):
        image = images[b, c] - values[c]
        result[b, c, y, x] = values[c] + rows_y[y] @ image @ rows_x[x]
    return result

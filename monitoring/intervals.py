"""How sure a share can be, given how few it was counted on."""

from __future__ import annotations

from math import sqrt

_Z95 = 1.959963984540054


def wilson(hits: int, n: int, z: float = _Z95) -> tuple[float, float] | None:
    """Wilson's score interval of `hits` among `n`; None when n is 0, for nothing is known then.

    Shape:  (low, high), both in [0, 1], with low ≤ hits / n ≤ high.
    Units:  95 % coverage by default; unlike Wald's it holds near 0 and 1 and for small n.
    Source: E. B. Wilson, Probable inference, JASA 22 (1927).
    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} hits among {n} cannot be")
    if n == 0:
        return None
    share = hits / n
    centre = share + z * z / (2 * n)
    spread = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return min(share, max(0.0, (centre - spread) / scale)), max(
        share, min(1.0, (centre + spread) / scale)
    )

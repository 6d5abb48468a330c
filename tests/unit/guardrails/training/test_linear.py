import numpy as np

from guardrails.inference.ngrams import LinearModel
from guardrails.training.linear import fit_linear

GOOD = [f"the {thing} is lovely today" for thing in ("sea", "park", "cat", "soup", "song", "view")]
BAD = [
    f"you {word} idiot, get lost" for word in ("utter", "total", "silly", "awful", "vile", "sad")
]


def test_what_is_fitted_is_what_the_fast_path_scores() -> None:
    texts = GOOD + BAD
    values = np.array([[0, 0]] * 6 + [[1, 1]] * 6, np.float32)
    known = np.ones_like(values)
    # The second label knows two rows only, and is fitted on these alone.
    known[:, 1] = 0
    known[[0, 6], 1] = 1
    done: list[tuple[int, int]] = []
    weights = fit_linear(texts, values, known, ("a", "b"), lambda n, of: done.append((n, of)))
    logits = LinearModel(weights).logits([*texts, "what an idiot you are", "a lovely song"])
    assert (logits[:6, 0] < 0).all()
    assert (logits[6:12, 0] > 0).all()
    assert logits[12, 0] > logits[13, 0]
    assert logits[12, 1] > logits[13, 1]
    assert weights.grams.dtype == np.int8
    assert done == [(1, 2), (2, 2)]

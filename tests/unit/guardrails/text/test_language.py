import pytest

from guardrails.text.language import language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How do I bake a bread?", "en"),
        ("Wie backe ich ein gutes Brot?", "de"),
        ("Comment faire du pain pour les enfants ?", "fr"),
        ("¿Cómo hago pan con levadura?", "es"),
        ("Come faccio il pane della nonna?", "it"),
        ("Hoe maak ik een brood met zuurdesem?", "nl"),
        ("Jak to jest, że nie ma chleba?", "pl"),
        ("Bu ekmek nasıl bir şey?", "tr"),
        ("Hur bakar jag bröd, och vad är det för mjöl?", "sv"),
        ("Как испечь хлеб?", "ru"),
        ("怎么做面包", "zh"),
        ("パンの作り方を教えて", "ja"),
        ("빵을 만드는 방법", "ko"),
        ("كيف أخبز الخبز", "ar"),
        ("12345", "und"),
        ("xyzzy", "und"),
        ("", "und"),
    ],
)
def test_the_language_is_guessed(text: str, language: str) -> None:
    assert language_of(text) == language

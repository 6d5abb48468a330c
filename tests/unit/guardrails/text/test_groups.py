import time

import pytest

from guardrails.text.groups import GROUPS, MOST_GROUPS, READ_CHARACTERS, groups_in


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("Write a poem about Muslims and Jews.", ("religion:muslims", "religion:jews")),
        ("My neighbour is a black woman.", ("ethnicity:black people", "gender:women")),
        ("Why are German tourists always first at the pool?", ("nationality:germans",)),
        ("Are blind people allowed to vote?", ("disability:blind people",)),
        ("a wheelchair user asks for a ramp", ("disability:disabled people",)),
        ("Was denken die Ausländer über uns?", ("origin:immigrants",)),
        ("Les femmes musulmanes", ("religion:muslims", "gender:women")),
        ("Los hombres negros", ("ethnicity:black people", "gender:men")),
        ("Что думают беженцы?", ("origin:refugees",)),
        ("ما رأيك في المسلمين؟", ("religion:muslims",)),
        ("你怎么看同性恋者和黑人?", ("ethnicity:black people", "orientation:gay people")),
        ("महिलाओं के अधिकार", ("gender:women",)),
        ("GAY PEOPLE", ("orientation:gay people",)),
        ("trans women in sport", ("gender:women", "gender:trans people")),
    ],
)
def test_a_text_names_groups(text: str, groups: tuple[str, ...]):
    assert groups_in(text) == groups


@pytest.mark.parametrize(
    "text",
    [
        "Translate this into German, then into French.",
        "The button stays disabled until the form is valid.",
        "A black cat in a white room with an old clock.",
        "Read the man page of ls; the blind spot of your mirror.",
        "Indian food with Polish vodka and Turkish delight",
        "Christian works at a bank in Roma.",
        "",
        "12345 🙂",
    ],
)
def test_things_languages_and_names_are_no_groups(text: str):
    assert groups_in(text) == ()


def test_every_group_has_its_axis_and_the_answer_is_bounded():
    assert all(group.count(":") == 1 for group in GROUPS)
    everybody = " ".join(group.split(":")[1] for group in GROUPS)
    assert len(groups_in(everybody)) == MOST_GROUPS
    assert groups_in("a " * READ_CHARACTERS + "women") == ()


@pytest.mark.parametrize("text", ["the old ", "trans ", "мусульман ", "黑", "a" * 4_000])
def test_no_text_takes_long(text: str):
    text *= 10_000
    began = time.process_time()
    groups_in(text)
    assert time.process_time() - began < 0.05

from dashboards.pages import GROUPS, Page, modules, navigation
from dashboards.visitors import Visitor

ADMIN = Visitor("ada", "admin", "session")


def test_every_file_is_a_page_with_an_address_of_its_own():
    pages = [module.PAGE for module in modules()]
    assert all(isinstance(page, Page) for page in pages)
    assert len({page.path for page in pages}) == len(pages)
    assert {page.group for page in pages} <= {*GROUPS, None}
    keys = [page.key for page in pages if page.key]
    assert len(keys) == len(set(keys))


def test_navigation_holds_what_the_visitor_may_open_in_order():
    pages = [
        Page("Last", "/c", group="Watch", place=30),
        Page("First", "/a", group="Watch", place=10, scoped=True),
        Page("Keys", "/k", group="Keep", role="admin"),
        Page("Hidden", "/h"),
    ]
    shown = {group.name: [p.title for p in group.pages] for group in navigation(pages, ADMIN)}
    assert shown == {"Watch": ["First", "Last"], "Keep": ["Keys"]}
    narrow = navigation(pages, Visitor("bob", "viewer", "session", ("acme",)))
    assert [[p.title for p in group.pages] for group in narrow] == [["First"]]

"""How do messages and passages become the prompt, alike in production and in training?

A template is a file `name@version.jinja` with the blocks `system` and `user`. `render` puts the
first before the conversation's system message and the second in the place of the last user turn's
text; everything else (images, tool calls, earlier turns, unknown fields) stays as it was. A row of
training data goes through the same call: its answer is one more message after the user's turn.

A template's source is ours; what callers and documents wrote are only ever values of its variables
`question` and `passages`. Even so a template can do little (docs/decisions/0005): a whitelist of
syntax is held against its tree when it is loaded, before anything is compiled.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from guardrails.errors import BadRequest, ConfigError
from guardrails.prompt.control_tokens import neutralise, neutralise_together
from guardrails.types import Passage

MAX_SOURCE_CHARACTERS = 32_768
MAX_PASSAGES = 50
MAX_PASSAGE_CHARACTERS = 8_000
MAX_OUTPUT_CHARACTERS = 16_000_000
MAX_DEPTH = 64

_FILE_NAME = re.compile(r"([a-z0-9][a-z0-9_.-]*)@([a-z0-9][a-z0-9_.-]*)")
_TAG = re.compile(r"</?([A-Za-z][\w-]*)")
_NAMES = {"system": {"passages"}, "user": {"passages", "question"}}
_ATTRIBUTES = {
    "passage": {"number", "title", "source", "text"},
    "loop": {"index", "first", "last", "length"},
}
_FILTERS = {"trim", "length"}
_SYNTAX = (
    nodes.Template, nodes.Block, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Getattr,
    nodes.For, nodes.If, nodes.CondExpr, nodes.Const, nodes.Compare, nodes.Operand, nodes.And,
    nodes.Or, nodes.Not, nodes.Filter,
)  # fmt: skip

Message = dict[str, Any]
Block = Callable[[Context], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Template:
    """One version of a prompt format. `hash` is the SHA-256 of its normalised source, in hex."""

    name: str
    version: str
    source: str
    hash: str
    tags: frozenset[str] = field(repr=False)
    _blocks: Mapping[str, Block] = field(repr=False)
    _context: Callable[[dict[str, Any]], Context] = field(repr=False)

    @property
    def label(self) -> str:
        """How settings name it: `name@version`."""
        return f"{self.name}@{self.version}"

    def block(self, name: str, **variables: Any) -> str:
        """One block's text, or "" where the template has no such block.

        Errors: BadRequest (413) once the text passes MAX_OUTPUT_CHARACTERS; a block is a
        generator, so nothing is rendered after that.
        """
        block = self._blocks.get(name)
        if block is None:
            return ""
        pieces, size = [], 0
        for piece in block(self._context(variables)):
            size += len(piece)
            if size > MAX_OUTPUT_CHARACTERS:
                raise BadRequest("The prompt is too long; send less text.", status=413)
            pieces.append(piece)
        return "".join(pieces)


class Templates(Mapping[str, Template]):
    """The templates of a directory by their labels; an unknown label is a ConfigError."""

    def __init__(self, templates: Sequence[Template]) -> None:
        self._by_label = {template.label: template for template in templates}

    def __getitem__(self, label: str) -> Template:
        try:
            return self._by_label[label]
        except KeyError:
            known = ", ".join(sorted(self._by_label)) or "none"
            raise ConfigError(f"There is no template {label!r}; there are: {known}.") from None

    def __contains__(self, label: object) -> bool:
        return label in self._by_label

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_label)

    def __len__(self) -> int:
        return len(self._by_label)


def load_templates(directory: Path) -> Templates:
    """Every `name@version.jinja` of a directory, checked and compiled.

    Errors: ConfigError that names the file and the line, for a bad name, bad syntax, or syntax
    that a prompt template may not use.
    """
    if not directory.is_dir():
        raise ConfigError(f"There is no directory of templates at {directory}.")
    return Templates([_read(path) for path in sorted(directory.glob("*.jinja"))])


def parse_template(name: str, version: str, text: str) -> Template:
    """A template from its source.

    The hash is taken after newlines became `\\n`, a byte order mark went, and the end of the file
    became one newline: a checkout on another platform has the same hash.
    """
    source = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").rstrip() + "\n"
    label = f"{name}@{version}"
    if len(source) > MAX_SOURCE_CHARACTERS:
        raise ConfigError(f"Template {label} is longer than {MAX_SOURCE_CHARACTERS} characters.")
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True
    )
    environment.globals.clear()
    try:
        tree = environment.parse(source)
    except TemplateSyntaxError as error:
        raise ConfigError(f"Template {label}, line {error.lineno}: {error.message}") from error
    _check(tree, label)
    compiled = environment.from_string(tree)
    literal = "".join(data.data for data in tree.find_all(nodes.TemplateData))
    return Template(
        name=name,
        version=version,
        source=source,
        hash=hashlib.sha256(source.encode()).hexdigest(),
        tags=frozenset(tag.lower() for tag in _TAG.findall(literal)),
        _blocks=compiled.blocks,
        _context=compiled.new_context,
    )


def render(
    template: Template, messages: Sequence[Message], passages: Sequence[Passage] = ()
) -> list[Message]:
    """The messages as the model shall see them; what is given is never changed.

    Control tokens in any string of a message or passage are neutralised (`control_tokens`); in the
    last user turn and the passages, so are the tags that the template itself writes.
    Limits: MAX_PASSAGES passages of MAX_PASSAGE_CHARACTERS; more is a ConfigError.
    Errors: BadRequest (413) when a block grows past MAX_OUTPUT_CHARACTERS.
    Cost:   linear in the text: no loop of a template runs over anything but the passages.
    """
    views = [_view(passage, template.tags) for passage in _bounded(passages)]
    last = next((i for i in reversed(range(len(messages))) if _role(messages[i]) == "user"), None)
    rendered = [
        _with_user_block(template, _neutral(message, template.tags), views)
        if number == last
        else _neutral(message, ())
        for number, message in enumerate(messages)
    ]
    system = template.block("system", passages=views).strip()
    return _with_system(system, rendered) if system else rendered


def _read(path: Path) -> Template:
    match = _FILE_NAME.fullmatch(path.stem)
    if match is None:
        raise ConfigError(f"{path.name}: a template's file is named name@version.jinja.")
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Template {path.name} cannot be read: {error}") from error
    return parse_template(match[1], match[2], text)


def _bounded(passages: Sequence[Passage]) -> Sequence[Passage]:
    if len(passages) > MAX_PASSAGES:
        raise ConfigError(f"{len(passages)} passages are too many; a prompt takes {MAX_PASSAGES}.")
    if any(len(passage.text) > MAX_PASSAGE_CHARACTERS for passage in passages):
        raise ConfigError(
            f"A passage is longer than {MAX_PASSAGE_CHARACTERS} characters; ingest it again."
        )
    return passages


def _view(passage: Passage, tags: frozenset[str]) -> Passage:
    # A title or source stands in one line of the prompt, perhaps within quotes.
    one_line = {
        name: " ".join(neutralise(getattr(passage, name), tags).replace('"', "'").split())
        for name in ("title", "source")
    }
    return msgspec.structs.replace(passage, text=neutralise(passage.text, tags), **one_line)


def _role(message: Message) -> object:
    return message.get("role")


def _neutral(value: Any, tags: Iterable[str], depth: int = 0) -> Any:
    if isinstance(value, str):
        return neutralise(value, tags)
    if depth > MAX_DEPTH:
        raise BadRequest(f"A message is nested deeper than {MAX_DEPTH} levels.", param="messages")
    if isinstance(value, dict):
        return {key: _neutral(inner, tags, depth + 1) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    texts = {i: part["text"] for i, part in enumerate(value) if _is_text(part)}
    together = dict(zip(texts, neutralise_together(list(texts.values()), tags), strict=True))
    return [
        {**part, "text": together[i]} if i in together else _neutral(part, tags, depth + 1)
        for i, part in enumerate(value)
    ]


def _is_text(part: object) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def _with_user_block(template: Template, message: Message, views: Sequence[Passage]) -> Message:
    if "user" not in template._blocks:
        return message
    content = message.get("content")
    if not isinstance(content, list):
        return {**message, "content": _user(template, content or "", views)}
    parts = list(content)
    last = next((i for i in reversed(range(len(parts))) if _is_text(parts[i])), None)
    if last is None:
        text = _user(template, "", views)
        return {**message, "content": [{"type": "text", "text": text}, *parts]} if text else message
    parts[last] = {**parts[last], "text": _user(template, parts[last]["text"], views)}
    return {**message, "content": parts}


def _user(template: Template, question: str, views: Sequence[Passage]) -> str:
    return template.block("user", passages=views, question=question)


def _with_system(system: str, messages: list[Message]) -> list[Message]:
    first = messages[0] if messages else {}
    if _role(first) not in ("system", "developer"):
        return [{"role": "system", "content": system}, *messages]
    content = first.get("content")
    if isinstance(content, list):
        merged: Any = [{"type": "text", "text": system + "\n\n"}, *content]
    else:
        merged = f"{system}\n\n{content}" if content else system
    return [{**first, "content": merged}, *messages[1:]]


def _check(tree: nodes.Template, label: str) -> None:
    """Refuse all but: the two blocks, text, the two variables, `if`, and one loop over passages.

    What is left out is what could be costly or get out: calls, subscripts, arithmetic, `range`,
    `set`, macros, imports, includes, other attributes and filters, loops in loops. A template's
    work is thus at most its own length times the number of passages.
    """
    if not any(isinstance(child, nodes.Block) for child in tree.body):
        raise ConfigError(f"Template {label} has neither a block `system` nor a block `user`.")
    for child in tree.body:
        if isinstance(child, nodes.Block):
            _check_block(child, label)
        elif not _is_blank(child):
            raise _refused(label, child, "text outside of the blocks `system` and `user`")


def _check_block(block: nodes.Block, label: str) -> None:
    if block.name not in _NAMES:
        raise _refused(label, block, f"a block {block.name!r}; there are `system` and `user`")
    asked = sum(node.name == "question" for node in block.find_all(nodes.Name))
    if block.name == "user" and asked != 1:
        raise _refused(label, block, "`question` other than once in the block `user`")
    for child in block.body:
        _check_node(child, label, _NAMES[block.name], looping=False)


def _check_node(node: nodes.Node, label: str, names: set[str], *, looping: bool) -> None:
    if not isinstance(node, _SYNTAX) or isinstance(node, nodes.Block):
        raise _refused(label, node, f"`{type(node).__name__}`")
    if isinstance(node, nodes.For):
        _check_loop(node, label, looping)
        # No question in a loop: a prompt holds it once.
        names, looping = {"passages", "passage", "loop"}, True
    elif isinstance(node, nodes.Name) and node.name not in names:
        raise _refused(label, node, f"the name {node.name!r}")
    elif isinstance(node, nodes.Getattr):
        owner = node.node.name if isinstance(node.node, nodes.Name) else ""
        if node.attr not in _ATTRIBUTES.get(owner, ()):
            raise _refused(label, node, f"the attribute {node.attr!r}")
    elif isinstance(node, nodes.Filter) and (
        node.name not in _FILTERS or node.args or node.kwargs or node.dyn_args or node.dyn_kwargs
    ):
        raise _refused(label, node, f"the filter {node.name!r}")
    for child in node.iter_child_nodes():
        _check_node(child, label, names, looping=looping)


def _check_loop(loop: nodes.For, label: str, looping: bool) -> None:
    over = isinstance(loop.iter, nodes.Name) and loop.iter.name == "passages"
    target = isinstance(loop.target, nodes.Name) and loop.target.name == "passage"
    if looping or loop.recursive or not over or not target:
        raise _refused(label, loop, "a loop other than one `for passage in passages`")


def _is_blank(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Output) and all(
        isinstance(piece, nodes.TemplateData) and not piece.data.strip() for piece in node.nodes
    )


def _refused(label: str, node: nodes.Node, what: str) -> ConfigError:
    return ConfigError(f"Template {label}, line {node.lineno}: it may not have {what}.")

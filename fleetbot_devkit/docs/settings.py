"""The two configuration files as pages: their comments explain, the code says what is allowed.

A setting that its file does not explain, or a file that explains one that does not exist, is an
error here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from fleetbot.runner.config import ConfigFile
from fleetbot.settings import Settings
from fleetbot_devkit.docs.markdown import block, code, page, plain, table
from fleetbot_devkit.docs.schema import Shape, default, schemas, words

_NUMBERED = re.compile(r"\[\[?([\w.]+)\]\]?")
_BEHIND = re.compile(r"^(?:\"[^\"]*\"|[^;:\"])*[;:]?")
_TOML_LINE = re.compile(r"(?:# )?(?P<key>\w+) = (?P<value>.*)")


class Undocumented(Exception):
    """A setting without a word about it, or words about a setting that is not there."""


class Setting(NamedTuple):
    """`value` as the file has it; `text` is its comment."""

    name: str
    value: str
    text: str


class Section(NamedTuple):
    name: str
    text: str
    settings: tuple[Setting, ...]


# the plugin's


def plugin(text: str) -> str:
    """`configuration-plugin.md` out of base-config.yaml."""
    intro, sections = read_yaml(text)
    components = schemas([Settings])
    _check("base-config.yaml", sections, _tables(components, "Settings"))
    return page(
        "Configuration of the plugin",
        intro,
        "The file that maubot fills in for a new instance is `base-config.yaml`; all of it stands "
        "at the end of this page. How the labels work together: [labels](labels.md).",
        *(part for section in sections for part in _plugin_section(section, components)),
        "## The whole file",
        block(text, "yaml"),
    )


def _plugin_section(section: Section, components: Mapping[str, Shape]) -> Iterator[str]:
    table_of = _tables(components, "Settings")
    yield f"## {section.name}"
    yield section.text
    if not section.settings:
        return
    shapes = table_of[section.name]["properties"]
    rows = (
        (code(s.name), words(shapes[s.name]), _short(s.value), s.text) for s in section.settings
    )
    yield table(("setting", "value", "default", "meaning"), rows)


def _short(value: str) -> str:
    """A map is long; it stands in the file below."""
    return "see below" if "\n" in value else code(value)


def read_yaml(text: str) -> tuple[str, tuple[Section, ...]]:
    """The file's own words, and its sections. It is two levels deep, a comment before each key."""
    sections: list[Section] = []
    comment: list[str] = []
    intro = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.strip().removeprefix("#").removeprefix(" "))
        elif not line.strip():
            intro, comment = intro or _joined(comment), []
        elif not line.startswith(" "):
            name, _, _value = line.partition(":")
            sections.append(Section(name, _joined(comment), ()))
            comment = []
        elif re.match(r" {4}\S", line):
            name, _, value = line.strip().partition(":")
            _add(sections, Setting(name, value.strip(), _joined(comment)))
            comment = []
        else:
            _continue(sections, line)
    return intro, tuple(sections)


def _add(sections: list[Section], setting: Setting) -> None:
    last = sections[-1]
    sections[-1] = last._replace(settings=(*last.settings, setting))


def _continue(sections: list[Section], line: str) -> None:
    """A line of a map belongs to the setting before it."""
    last = sections[-1].settings[-1]
    longer = last._replace(value=f"{last.value}\n{line.strip()}")
    sections[-1] = sections[-1]._replace(settings=(*sections[-1].settings[:-1], longer))


# the runner's


def runner(text: str) -> str:
    """`configuration-runner.md` out of config.example.toml."""
    intro, sections = read_toml(text)
    tables = _tables(schemas([ConfigFile]), "ConfigFile")
    _check("config.example.toml", sections, tables)
    return page(
        "Configuration of the runner",
        intro,
        "All of `config.example.toml` stands at the end of this page. Besides a token itself, its "
        "`_file` and its `_env` form, nothing has to be secret in it.",
        *(part for section in sections for part in _runner_section(section, tables)),
        "## The whole file",
        block(text, "toml"),
    )


def _runner_section(section: Section, tables: Mapping[str, Shape]) -> Iterator[str]:
    shape = tables[section.name]
    yield f"## [{section.name}]"
    yield section.text
    rows = (
        (code(s.name), words(its := shape["properties"][s.name]), _counts(shape, s, its), s.text)
        for s in section.settings
    )
    yield table(("setting", "value", "default", "meaning"), rows)


def _counts(table_of: Shape, setting: Setting, its: Shape) -> str:
    return "must be given" if setting.name in table_of.get("required", ()) else default(its)


def read_toml(text: str) -> tuple[str, tuple[Section, ...]]:
    """The file's own words, and its tables; a commented setting or table counts as well."""
    sections: dict[str, Section] = {}
    comment: list[str] = []
    intro, name = "", ""
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        if header := _NUMBERED.fullmatch(bare):
            name = header[1]
            sections.setdefault(name, Section(name, _joined(comment), ()))
            comment = []
        elif found := _TOML_LINE.fullmatch(line):
            _add_toml(sections, name, found, _joined(comment))
            comment = []
        elif line.startswith("#"):
            comment.append(line.removeprefix("#").removeprefix(" "))
        else:
            intro, comment = intro or _joined(comment), []
    return intro, tuple(sections.values())


def _add_toml(sections: dict[str, Section], name: str, found: re.Match[str], comment: str) -> None:
    """What stands behind ` # ` is the default, and after a `;` or a `:` some words more."""
    section = sections[name]
    if found["key"] in (setting.name for setting in section.settings):
        return
    value, _, behind = found["value"].partition(" # ")
    more = _BEHIND.sub("", behind).strip()
    setting = Setting(found["key"], value, " ".join(filter(None, [comment, more])))
    sections[name] = section._replace(settings=(*section.settings, setting))


# both


def _tables(components: Mapping[str, Shape], root: str) -> dict[str, Shape]:
    """Every table of the file by its dotted name, from the schema of the whole."""
    found: dict[str, Shape] = {}

    def descend(name: str, shape: Shape) -> None:
        found[name] = shape
        for key, value in shape["properties"].items():
            for inner in _structs(value):
                descend(f"{name}.{key}".lstrip("."), components[inner])

    descend("", components[root])
    return found


def _structs(shape: Shape) -> Iterator[str]:
    if reference := shape.get("$ref"):
        yield str(reference).rpartition("/")[2]
    for option in (*shape.get("anyOf", ()), *filter(None, [shape.get("items")])):
        yield from _structs(option)


def _check(file: str, sections: Iterable[Section], tables: Mapping[str, Shape]) -> None:
    told = {f"{s.name}.{setting.name}" for s in sections for setting in s.settings}
    plain = {
        f"{name}.{key}"
        for name, shape in tables.items()
        if name
        for key, value in shape["properties"].items()
        if not any(True for _ in _structs(value))
    }
    if told != plain:
        differing = ", ".join(sorted(told ^ plain))
        raise Undocumented(f"{file} and the code differ in: {differing}")


def _joined(comment: Iterable[str]) -> str:
    """Comment lines as Markdown: indented ones are an example, the others a paragraph."""
    paragraphs: list[str] = []
    for line in comment:
        kind = "example" if line.startswith("  ") else "text"
        if not line:
            continue
        if kind == "text" and paragraphs and not paragraphs[-1].startswith("```"):
            paragraphs[-1] += f" {plain(line)}"
        elif kind == "text":
            paragraphs.append(plain(line))
        elif paragraphs and paragraphs[-1].startswith("```"):
            paragraphs[-1] = f"{paragraphs[-1].removesuffix('```')}{line[2:]}\n```"
        else:
            paragraphs.append(f"```\n{line[2:]}\n```")
    return "\n\n".join(paragraphs)

"""Words of issues and agents as the forge and a program may read them: words, and no orders.

What Forgejo obeys in a title, a text or a commit message: words such as `closes` before a number
(also `owner/name#12`, `!12` or an issue's address), `@name`, a title's beginning `WIP:`, and
`[skip ci]`. Sources: Forgejo's `modules/references`, its defaults of `[repository.pull-request]`
and of `[actions] SKIP_WORKFLOW_STRINGS`.
"""

from __future__ import annotations

import re
import unicodedata

TITLE_LIMIT = 255
_BREAK = "\N{ZERO WIDTH SPACE}"
_PART_BEGINS, _PART_ENDS = "<!-- fleetbot: begin -->", "<!-- fleetbot: end -->"

_DRAFT = re.compile(r"\s*(?:\[\s*(?:wip|draft)\s*\]|(?:wip|draft)\s*:)[\s:-]*", re.IGNORECASE)
_SKIPPED = re.compile(r"\A(skip-checks):(?=\s*true)", re.IGNORECASE)
_SKIP = re.compile(
    r"\[(\s*(?:skip ci|ci skip|no ci|skip actions|actions skip)\s*)\]", re.IGNORECASE
)
# An issue's address is one wherever its forge is: it may be known by several names.
_WORD = re.compile(r"\S+")
_NUMBERED = re.compile(r"/(?:issues|pulls)/\d", re.IGNORECASE)
_LEADS = re.compile(
    r"(?:(?<![a-z\d+.-])[a-z][a-z\d+.-]{0,30}:|(?<![\w/]))//(?:www\.)?|\bwww\.|(?<=\()/",
    re.IGNORECASE,
)
# In a line: the whole name, which `code` marks make a plain word without changing it.
_NAME = re.compile(r"(?<![\w`])@[\w-](?:[\w./-]*[\w-])?|(?<![\w`/.-])(?:[\w.-]+/[\w.-]+)?[#!]\d\w*")
# In a text: only a mark that Forgejo would look behind; `foo@bar.org` and `&#64;` are none.
_MARK = re.compile(r"(?<!\w)@(?=[\w-])|(?<!&)[#!](?=\d)|<(?=!--)")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*\Z)|~{3,})(.*)")
_COMMAND = ("/", "!", "#", "@")
_HIDDEN = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")


def title_of(text: str, issue: int) -> str:
    """A title for the issue's pull request: one line, at most 255 characters, never a draft."""
    return line_of(text, TITLE_LIMIT) or f"Issue {issue}"


def subject_of(text: str, issue: int) -> str:
    """The first line of a commit made on the agent's behalf; it names the issue and closes none."""
    return f"{line_of(text, 60) or 'Changes'} (#{issue})"


def line_of(text: str, most: int) -> str:
    """Somebody's words as one line of `most` characters that nothing is done for, maybe empty."""
    line = _one_line(text)[: 4 * most]
    while (plain := _plain(line)) != line:  # what is left of two may be a third
        line = plain
    return _cut(line, most)


def _plain(line: str) -> str:
    line = _DRAFT.sub("", line) if _DRAFT.match(line) else line
    line = _SKIPPED.sub(r"\1", _SKIP.sub(r"\1", line))
    line = _WORD.sub(_no_address, line)
    return " ".join(_NAME.sub(lambda name: f"`{name[0]}`", line).split())


def _no_address(word: re.Match[str]) -> str:
    """An issue's address without what makes it one: it can still be read and copied."""
    return _LEADS.sub("", word[0]) if _NUMBERED.search(word[0]) else word[0]


def _one_line(text: str) -> str:
    seen = (" " if unicodedata.category(letter) == "Cc" else letter for letter in text)
    line = _HIDDEN.sub("", "".join(seen)).encode("utf-8", "replace").decode()
    return " ".join(line.split())


def _cut(line: str, most: int) -> str:
    """At a word's end, if there is one near: half a word could be another, half a name too."""
    if len(line) <= most:
        return line
    head = line[: most - 1]
    whole = head.rpartition(" ")[0]
    if len(whole) < most // 2:
        whole = head.rpartition("`")[0] if head.count("`") % 2 else head
    return f"{whole.rstrip()}…"


def inert(text: str) -> str:
    """Somebody's Markdown in which nobody is mentioned, nothing is referred to or closed.

    It looks the same, and what comes after it is not part of it: fences are closed, and there is
    no comment in it.
    """
    text = _WORD.sub(_no_address, text.replace("\0", ""))
    text = _MARK.sub(lambda mark: mark[0] + _BREAK, text)
    fence = _open_fence(text)
    return f"{text.rstrip()}\n{fence}" if fence else text.rstrip()


def _open_fence(text: str) -> str:
    """The fence that was begun and not ended."""
    fence = ""
    for line in text.splitlines():
        found = _FENCE.fullmatch(line)
        if found and not fence:
            fence = found[1]
        elif found and found[1].startswith(fence) and not found[2].strip():
            fence = ""
    return fence


def has_part(text: str) -> bool:
    """Whether our place in a pull request's text is there."""
    return _PART_ENDS in text.partition(_PART_BEGINS)[2]


def with_part(text: str, part: str) -> str:
    """A pull request's text with `part` in our place in it; what others wrote around it stays."""
    ours = f"{_PART_BEGINS}\n{part.strip()}\n{_PART_ENDS}"
    before, begins, rest = text.partition(_PART_BEGINS)
    _, ends, after = rest.partition(_PART_ENDS)
    if begins and ends:
        return f"{before}{ours}{after}"
    return f"{text.rstrip()}\n\n{ours}" if text.strip() else ours


def as_words(text: str) -> str:
    """A prompt of which a program takes nothing for one of its own commands, such as `/clear`."""
    return f"Your task:\n\n{text}" if text.lstrip().startswith(_COMMAND) else text


def cut_at_line(text: str, most: int) -> str:
    """At most about `most` characters, cut at a line's end where there is one near, and said so."""
    if len(text) <= most:
        return text
    head = text[:most]
    line = head.rpartition("\n")[0]
    kept = line if len(line) > most // 2 else head
    return f"{kept.rstrip()}\n[… {len(text) - len(kept)} more characters are left out]"

"""Number figures and equations by chapter: the first figure of 04-attention-layer is 4.1."""

from __future__ import annotations

import re

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

CHAPTER = re.compile(r"book/(\d\d)-[a-z0-9-]+/chapter")


def number_by_chapter(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Replace the running numbers, which count through the whole book, by the chapter's own."""
    for name, kinds in env.toc_fignumbers.items():
        if found := CHAPTER.fullmatch(name):
            for numbers in kinds.values():
                for count, identifier in enumerate(numbers, start=1):
                    numbers[identifier] = (int(found[1]), count)
    return []


def setup(app: Sphinx) -> dict[str, bool]:
    # After Sphinx's own numbering, which answers the same event.
    app.connect("env-get-updated", number_by_chapter, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

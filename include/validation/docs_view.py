"""How Data Docs look: Great Expectations' pages with templates of ours in front of its own.

Its own load scripts and styles from other companies' servers into a page behind a log-in, and are blank without them.
Ours need no script and no network, and show a value that holds markup as text.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from great_expectations.render.renderer.content_block.validation_results_table_content_block import (
    ValidationResultsTableContentBlockRenderer,
)
from great_expectations.render.view.view import DefaultJinjaIndexPageView, DefaultJinjaPageView, DefaultJinjaView
from jinja2 import ChoiceLoader, FileSystemLoader, pass_context

PAGES = Path(__file__).with_name("pages")


class _Offline(DefaultJinjaView):
    def __init__(self, **directories: Any) -> None:
        super().__init__(**directories)
        assert self.env.loader is not None
        self.env.loader = ChoiceLoader([FileSystemLoader(PAGES), self.env.loader])

    @pass_context
    def render_content_block(self, jinja_context: Any, content_block: Any, *places: Any, **named: Any) -> Any:
        """Renders a block; plain text, which may be a vendor's value, is escaped."""
        if isinstance(content_block, list):
            return "".join(str(self.render_content_block(jinja_context, block)) for block in content_block)
        if isinstance(content_block, str):
            return html.escape(content_block)
        return super().render_content_block(jinja_context, content_block, *places, **named)


class PageView(_Offline, DefaultJinjaPageView):
    """A suite's page, or the page of one table's results."""


class IndexView(_Offline, DefaultJinjaIndexPageView):
    """The index: all results that are kept, newest first."""


class ResultsTable(ValidationResultsTableContentBlockRenderer):
    """The table of results, with what a failure means and why the expectation stands there.

    Great Expectations shows notes on a suite's page only; its own way to add columns (`meta_properties`) is broken in
    1.24.1, where an expectation refuses the argument that carries them.
    """

    @classmethod
    def _process_content_block(cls, content_block: Any, has_failed_evr: bool, render_object: Any = None) -> None:
        super()._process_content_block(content_block, has_failed_evr, render_object)
        content_block.header_row += ["If it fails", "Why"]
        for row, result in zip(content_block.table, render_object, strict=True):
            meta = result.expectation_config.meta
            row += [meta["consequence"], meta["why"]]

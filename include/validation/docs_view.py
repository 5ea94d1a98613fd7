"""Views of Data Docs: Great Expectations' pages, with Tributary's templates taking precedence.

The default templates load scripts and styles from third-party servers into a page behind a login, and the pages are blank without them.
Tributary's templates need no script and no network. They show markup in a value as text.
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
        """Render a content block; text is escaped, because it may be a vendor's value."""
        if isinstance(content_block, list):
            return "".join(str(self.render_content_block(jinja_context, block)) for block in content_block)
        if isinstance(content_block, str):
            return html.escape(content_block)
        return super().render_content_block(jinja_context, content_block, *places, **named)


class PageView(_Offline, DefaultJinjaPageView):
    """Page of a suite, or of one table's results."""


class IndexView(_Offline, DefaultJinjaIndexPageView):
    """Index of all stored results, newest first."""


class ResultsTable(ValidationResultsTableContentBlockRenderer):
    """Table of results with two more columns: the consequence of a failure, and the expectation's notes.

    Great Expectations shows notes only on a suite's page. Its own option for further columns (`meta_properties`) does not work in
    1.24.1: expectations refuse the argument.
    """

    @classmethod
    def _process_content_block(cls, content_block: Any, has_failed_evr: bool, render_object: Any = None) -> None:
        super()._process_content_block(content_block, has_failed_evr, render_object)
        content_block.header_row += ["If it fails", "Why"]
        for row, result in zip(content_block.table, render_object, strict=True):
            meta = result.expectation_config.meta
            row += [meta["consequence"], meta["why"]]

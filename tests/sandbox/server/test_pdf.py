"""A PDF file of any text is valid, and the same each time."""

from hypothesis import given
from hypothesis import strategies as st

from sandbox.server.pdf import write_pdf
from tests.sandbox.pdf import is_pdf


@given(st.lists(st.lists(st.text(), max_size=4), min_size=1, max_size=4))
def test_any_text_makes_a_valid_pdf(pages):
    content = write_pdf(pages)
    assert is_pdf(content)
    assert content.count(b"/Type /Page ") == len(pages)
    assert content.count(b" 0 obj\n") == 3 + 2 * len(pages)
    assert content == write_pdf(pages)

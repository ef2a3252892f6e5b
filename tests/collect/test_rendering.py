"""Text as HTML that can do nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.collect.rendering import to_html

from .payloads import PAYLOADS

HARMLESS = re.compile(
    r"</?(p|br|hr|ul|ol|li|blockquote|pre|code|h4|h5|h6|table|thead|tbody|tr|th|td|em|strong|s|a)"
    r'( href="https?://[^"]*"| rel="noopener noreferrer nofollow"| start="\d+")*>'
)


def remains(html: str) -> str:
    """What is left of HTML without the tags that may be there."""
    return HARMLESS.sub("", html)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_payload_becomes_a_tag(payload: str) -> None:
    assert "<" not in remains(to_html(payload))


@given(st.text(alphabet=st.sampled_from("<>[]()!`*_#|-&;:/\\\"'=\n ajvscriptonerhtp.")))
def test_no_text_becomes_a_tag_that_is_not_harmless(text: str) -> None:
    assert "<" not in remains(to_html(text))


def test_what_markdown_is_for() -> None:
    html = to_html("# Title\n\nA **bold** word.\nNext line.\n\n1. one\n2. two\n\n```\ncode\n```")
    assert "<h4>Title</h4>" in html
    assert "<strong>bold</strong> word.<br>" in html
    assert "<ol>" in html
    assert "<pre><code>code" in html


def test_a_link_says_where_it_leads_and_an_image_is_none() -> None:
    assert to_html("[here](https://a.example/path)") == (
        '<p><a href="https://a.example/path" rel="noopener noreferrer nofollow">here</a> (a.example)</p>\n'
    )
    assert "<img" not in to_html("![x](https://a.example/x.png)")
    assert "href" not in to_html("[x](/logout)")

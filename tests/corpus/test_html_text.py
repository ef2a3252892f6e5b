"""HTML as text: each mark by an example, and nothing that a post can hold makes it fail or invent text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.corpus.html_text import html_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("<p>one</p>\n\n<p>two</p>\n", "one\n\ntwo"),
        ("<p>a  line\nthat is\twrapped</p>", "a line that is wrapped"),
        ("<p>an <em>old</em> <strong>beer</strong>, <a href='x'>see here</a>.</p>", "an old beer, see here."),
        ("<p>5 &lt; 6 &amp; it&#39;s&nbsp;so</p>", "5 < 6 & it's so"),
        ("<p>one<br>two<br />three</p>", "one\ntwo\nthree"),
        ("<p>To do:</p>\n<ul>\n<li>hops</li>\n<li>malt</li>\n</ul>\n<p>Done.</p>", "To do:\n\n- hops\n- malt\n\nDone."),
        ("<ol><li>boil</li><li><p>cool</p></li></ol>", "1. boil\n\n2. cool"),
        ("<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>", "1. a\n\n- b\n\n2. c"),
        ("<p>x:</p><pre><code>if a:\n    b  = 1\n</code></pre><p>y</p>", "x:\n\nif a:\n    b  = 1\n\ny"),
        ("<p>x:</p><pre>\n  indented</pre>", "x:\n\n  indented"),
        ("<blockquote>\n<p>so</p>\n<p>said</p>\n</blockquote>\n<p>no</p>", "> so\n\n> said\n\nno"),
        ("<p>m<sup>2</sup> of H<sub>2</sub>O</p>", "m^2 of H2O"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ('<p><img src="x" alt="enter image description here"></p>', ""),
        ("<p>one</p><hr><p>two</p>", "one\n\ntwo"),
        ("5 < 6 and <unknown>kept</unknown> <p>open", "5 < 6 and kept\n\nopen"),
        ("</ul></pre></blockquote>text", "text"),
    ],
)
def test_marks_become_text(html: str, text: str) -> None:
    assert html_text(html) == text


tags = st.sampled_from(["p", "pre", "ul", "ol", "li", "blockquote", "em", "code", "br", "td", "tr", "sup", "h1"])
pieces = st.one_of(
    tags.map("<{}>".format), tags.map("</{}>".format), st.sampled_from(["word", " ", "\n", "&amp;", "<"])
)


@given(st.lists(pieces, max_size=30))
def test_no_word_is_lost_and_no_line_end_left_over(parts: list[str]) -> None:
    html = "".join(parts)
    text = html_text(html)
    assert text == text.strip()
    if "<<" not in html and "<w" not in html and "< " not in html and "<\n" not in html and "<&" not in html:
        assert text.count("word") == html.count("word")

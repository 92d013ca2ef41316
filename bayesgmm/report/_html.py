"""Pieces of HTML. All text of users goes through `text`."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bayesgmm.plots._style import pyplot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours that stay apart in pictures of droplets.
_PALETTE_SIZE = 128


def text(value: object) -> str:
    """Escaped, so that a sample may be called <script>."""
    return html.escape(str(value), quote=True)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: Iterable[int] = (), kind: str = "") -> str:
    """A table of cells that are HTML already; columns in `numeric` are set to the right."""
    right = set(numeric)

    def cells(row: Sequence[str], tag: str, scope: str = "") -> str:
        return "".join(f"<{tag}{scope}{' class=n' if i in right else ''}>{cell}</{tag}>" for i, cell in enumerate(row))

    body = "\n".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{cells(head, "th", " scope=col")}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def section(title: str, *content: str, anchor: str) -> str:
    """A part of the page."""
    inner = "\n".join(each for each in content if each)
    return f'<section id="{anchor}">\n<h2>{text(title)}</h2>\n{inner}\n</section>'


def paragraph(content: str, kind: str = "") -> str:
    """A paragraph of HTML."""
    return f'<p class="{kind}">{content}</p>' if kind else f"<p>{content}</p>"


def picture(figure: Figure, what: str, *, dpi: int = 130) -> str:
    """An image inside the page; the figure is closed. Fewer colours make it a third of the size."""
    plt = pyplot()
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=dpi, facecolor="white")
    plt.close(figure)
    image = Image.open(drawn).convert("RGB").quantize(_PALETTE_SIZE, dither=Image.Dither.NONE)
    width = int(image.width * 96 / dpi)
    return f'<figure class="wide"><img src="{encoded(image)}" alt="{text(what)}" style="max-width:{width}px"></figure>'


def encoded(image: object, *, small: bool = True) -> str:
    """A picture as an address that holds it."""
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=small)  # type: ignore[attr-defined]
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")

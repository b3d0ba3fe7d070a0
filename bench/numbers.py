"""How numbers are written wherever people read them: tables, figures, pages, sentences. One formatter for values, one for p-values."""

from __future__ import annotations

import math


def fixed(value: float, digits: int) -> str:
    """A number with so many decimals and a true minus, never '−0.00'; '–' where there is none. Too small to show: two digits."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞" if value > 0 else "−∞"
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-") if value == 0 else scientific(value, 1)
    return text.replace("-", "−", 1) if text.startswith("-") else text


def scientific(value: float, digits: int, exponent: int | None = None) -> str:
    """A number as a power of ten, ``2.3e-5``. ``exponent``: write it in this power, as a half width is in its mean's (``0.1e-5``)."""
    if not math.isfinite(value) or (value == 0 and exponent is None):
        return "0" if value == 0 else fixed(value, digits)
    power = exponent_of(value, digits) if exponent is None else exponent
    return f"{value / 10.0**power:.{digits}f}e{power}"


def exponent_of(value: float, digits: int) -> int:
    """The power of ten that ``scientific`` writes a number in: 9.96e-5 with one decimal is 1.0e-4."""
    return int(f"{value:.{digits}e}".partition("e")[2]) if math.isfinite(value) and value else 0


def p_text(p: float, digits: int = 2) -> str:
    """A p-value in a table or figure: '.082', '2.2e-6' (so many significant digits) below .001, '>.999', '<1e-99'; '–' where there is none."""
    if math.isnan(p):
        return "–"
    if p >= 0.9995:
        return ">.999"
    if p >= 0.001:
        return f"{p:.3f}".removeprefix("0")
    return scientific(p, digits - 1) if p >= 1e-99 else "<1e-99"


def p_words(p: float, digits: int = 2) -> str:
    """A p-value in a sentence: 'p = .082', 'p = 2.2e-6', 'p > .999', 'p < 1e-99', 'p unknown'."""
    text = p_text(p, digits)
    return "p unknown" if text == "–" else f"p {text[0]} {text[1:]}" if text[0] in "<>" else f"p = {text}"


def span(seconds: float) -> str:
    """Seconds in words: ``3 h 5 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def whole(value: float) -> float:
    """``value`` as an int where it is one: a scale of 8.0 is named 8."""
    return int(value) if value == int(value) else float(value)

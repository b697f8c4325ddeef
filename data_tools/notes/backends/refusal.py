"""Answers in which a model declines to write the note."""

from __future__ import annotations

import re

LONGEST = 600  # characters: a refusal is short; a long note that begins with an excuse still has a note in it

# How an answer that declines begins; a note that says "the border cannot be judged" does not begin like this.
_CANNOT = r"(?:can(?:no|')?t|can not|(?:am|'m) (?:not able|unable)|won't|will not|must decline)"
_WRITE = (
    r"(?:assist|help|provide|give|offer|write|create|generate|analy[sz]e|describe|diagnose|interpret|identify|"
    r"fulfil|comply|continue|do that|see|view|process|make|support|answer)"
)
_OPENINGS = (
    r"(?:i(?:'m| am) (?:very |so |truly )?sorry|sorry|i apologi[sz]e|apologies)\b"
    rf"[^.\n]{{0,40}}?\b(?:but )?i ?{_CANNOT}\b",
    rf"(?:unfortunately,? |regrettably,? )?i ?{_CANNOT}\b(?: to)?(?: \w+){{0,2}}? {_WRITE}",
    rf"as an? (?:ai|artificial|large language|language)\b[^.\n]{{0,80}}\bi ?{_CANNOT}\b",
    r"i(?:'m| am) (?:just |only )?an? (?:ai|artificial intelligence|language model)\b"
    rf"[^.\n]{{0,80}}\b(?:not|{_CANNOT})\b",
    r"i (?:don't|do not) (?:feel comfortable|have the ability|have access to (?:\w+ )?(?:image|picture))",
    r"(?:this|the|your) request (?:violates|goes against|has been (?:blocked|declined))",
)
_REFUSAL = re.compile(rf"\W*(?:{'|'.join(_OPENINGS)})", re.IGNORECASE)


def refusal_in(answer: str) -> str:
    """The words with which `answer` declines to write a note, or "" for an answer that does not."""
    text = answer.strip().replace("’", "'")
    found = _REFUSAL.match(text) if len(text) <= LONGEST else None
    return found.group(0).strip() if found else ""

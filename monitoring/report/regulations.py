"""Which part of the report answers to which part of a framework? Where it does, and no more.

Source: NIST AI 100-1, Artificial Intelligence Risk Management Framework (AI RMF 1.0), January 2023,
        tables 3 and 4; Regulation (EU) 2024/1689 (AI Act), Article 72. The subcategories are named
        by their numbers, in our words.
"""

from __future__ import annotations

from msgspec import Struct


class Section(Struct, frozen=True):
    """One section of the report, and what it is evidence for."""

    name: str
    nist: str
    why: str


SECTIONS = (
    Section(
        "Headline numbers, decisions by category",
        "MEASURE 2.4, 2.6",
        "behaviour and safety of the system are watched and measured while it serves",
    ),
    Section(
        "Groundedness",
        "MEASURE 2.5",
        "whether answers are valid and reliable, with the limits of that stated",
    ),
    Section("Bias by group and language", "MEASURE 2.11", "fairness and bias are evaluated"),
    Section(
        "Drift and alerts",
        "MEASURE 3.1; MANAGE 4.1",
        "risks that emerge are tracked after deployment",
    ),
    Section(
        "Filter quality by human sample",
        "MEASURE 2.13, 4.2",
        "how good the measuring itself is, judged by people",
    ),
    Section(
        "Coverage gaps",
        "MEASURE 1.1, 3.2",
        "what cannot be measured, or was not, is documented",
    ),
    Section("Incidents", "MANAGE 4.3", "incidents are tracked and told"),
    Section(
        "Changes of policy, model and template; open actions",
        "MANAGE 2.4, 4.2",
        "who may switch off or replace what, and improvements that follow",
    ),
)

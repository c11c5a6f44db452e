"""Where something is set in this network's router, as far as that is known."""

from edgecheck.diagnosis import knowledge
from edgecheck.diagnosis.facts import Facts


def where_set(facts: Facts, topic: knowledge.Topic) -> str:
    """Where it is set in this router, on a line of its own; empty where that is not known."""
    router = facts.router
    if router is None:
        return ""
    known = [(row, setting) for row in router.rows if (setting := row.setting(topic)) is not None]
    if not known:
        return ""
    steps = "; ".join(f"{row.vendor}: {setting.told()}" for row, setting in known) if len(router.rows) > 1 else known[0][1].told()
    return f"\n{router.found}: {steps}."

"""Settings for a PBX behind this edge, ready to paste: one file a family.

Only what was measured stands there as a setting; what was not is a comment that says so.
"""

from collections.abc import Callable

from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.pbx import asterisk, consoles, freeswitch, kamailio
from edgecheck.diagnosis.pbx.edge import Edge, edge
from edgecheck.model.verdict import ClientFacts, PbxSettings, SettingsPart

_Render = Callable[[Edge], tuple[SettingsPart, ...]]
FAMILIES: dict[str, tuple[str, _Render]] = {
    "asterisk": ("Asterisk (pjsip)", asterisk.render),
    "freepbx": ("FreePBX", consoles.freepbx),
    "freeswitch": ("FreeSWITCH", freeswitch.render),
    "fusionpbx": ("FusionPBX", consoles.fusionpbx),
    "kamailio": ("Kamailio with rtpengine", kamailio.render),
    "3cx": ("3CX", consoles.three_cx),
}
"""By the word of a profile's ``pbx``: title and renderer."""


def settings_for(pbx: str, facts: Facts, client: ClientFacts) -> PbxSettings:
    """What this edge calls for, for a PBX of this family."""
    title, render = FAMILIES[pbx]
    return PbxSettings(pbx=pbx, title=title, parts=render(edge(facts, client)))


def settings_of_report(facts: Facts, client: ClientFacts) -> tuple[PbxSettings, ...]:
    """For the PBX of the profile; none where it names none, or where no address is translated and nothing must be set."""
    if facts.profile.pbx not in FAMILIES or facts.this_machine_only or not facts.behind_nat:
        return ()
    return (settings_for(facts.profile.pbx, facts, client),)

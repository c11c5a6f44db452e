"""Authorities under which firewalls, proxies and virus scanners sign the certificates that they make on the way. Data.

A name is a hint and no proof: the same makers' servers show it as their factory certificate.
"""

from typing import NamedTuple

_CHROMIUM = "Chromium, components/resources/ssl/ssl_error_assistant/ssl_error_assistant.asciipb"
_SEEN = "issuers as users report them from their networks"


class Inspector(NamedTuple):
    """One authority."""

    maker: str
    issuer: str
    """Part of the issuer's name as RFC 4514 writes it, in lower case."""
    source: str


INSPECTORS = (
    Inspector("Avast", "cn=avast! web/mail shield root", _CHROMIUM),
    Inspector("Avast", "cn=avast web/mail shield root", _SEEN),
    Inspector("AVG", "cn=avg web/mail shield root", _SEEN),
    Inspector("Bitdefender", "cn=bitdefender personal ca.net-defender", _CHROMIUM),
    Inspector("Cisco Umbrella", "cn=cisco umbrella root ca", _CHROMIUM),
    Inspector("Cisco Umbrella", "cn=cisco umbrella primary subca", _CHROMIUM),
    Inspector("ContentKeeper", "cn=contentkeeper appliance ca", _CHROMIUM),
    Inspector("Cyberoam", "o=cyberoam certificate authority", _CHROMIUM),
    Inspector("ESET", "cn=eset ssl filter ca", _SEEN),
    Inspector("Forcepoint", "cn=forcepoint cloud ca", _CHROMIUM),
    Inspector("FortiGate", "cn=fortigate ca", _CHROMIUM),
    Inspector("Fortinet", "o=fortinet", _CHROMIUM),
    Inspector("Kaspersky", "cn=kaspersky anti-virus personal root certificate", _CHROMIUM),
    Inspector("McAfee Web Gateway", "cn=mcafee web gateway", _CHROMIUM),
    Inspector("mitmproxy", "cn=mitmproxy", "mitmproxy documentation, About Certificates"),
    Inspector("NetSpark", "cn=www.netspark.com", _CHROMIUM),
    Inspector("Netskope", "caadmin.netskope.com", _SEEN),
    Inspector("Norton", "cn=norton web/mail shield root", _SEEN),
    Inspector("Smoothwall", "cn=smoothwall-default-root-certificate-authority", _CHROMIUM),
    Inspector("SonicWall", "o=https management certificate for sonicwall", _CHROMIUM),
    Inspector("SonicWall", "cn=sonicwall firewall dpi-ssl", _SEEN),
    Inspector("Sophos", "cn=sophos ssl ca", _CHROMIUM),
    Inspector("Sophos", "cn=sophos_ca_", _CHROMIUM),
    Inspector("Sophos UTM", "cn=sophosutm proxy ca", _CHROMIUM),
    Inspector("Sophos", "cn=sophos web appliance", _CHROMIUM),
    Inspector("Symantec Blue Coat", "o=blue coat", _CHROMIUM),
    Inspector("Trend Micro", "cn=iwss.trend", _CHROMIUM),
    Inspector("WatchGuard", "cn=fireware https proxy", _SEEN),
    Inspector("Zscaler", "o=zscaler inc", _CHROMIUM),
    Inspector("Zscaler", "cn=zscaler", _SEEN),
)
"""Palo Alto, Squid and others have no name of their own: whoever runs them gives one."""


def inspector(issuer: str) -> Inspector | None:
    """Whose authority this is, by its name."""
    name = issuer.lower()
    return next((each for each in INSPECTORS if each.issuer in name), None)

"""Which names a certificate proves to a SIP phone (RFC 5922 section 7). Pure."""

from typing import Literal

from edgecheck.model.phone import Certificate

Match = Literal["uri", "dns", "address", "common-name", "wildcard", "none"]
"""How the name is proved. ``wildcard``: only by web rules, RFC 5922 section 7.2 forbids it. ``common-name``: only in the old place."""


def match(certificate: Certificate, domain: str) -> Match:
    """How this certificate proves this SIP domain."""
    wanted = domain.lower().rstrip(".")
    if any(_domain_of(uri) == wanted for uri in certificate.uris):
        return "uri"
    names = [name.lower().rstrip(".") for name in certificate.dns_names]
    if wanted in names:
        return "dns"
    if wanted in certificate.addresses:
        return "address"
    if any(_wild(name, wanted) for name in names):
        return "wildcard"
    # Section 7.1: the common name counts only where there is no subjectAltName at all.
    if not certificate.has_alternative_names and (certificate.common_name or "").lower() == wanted:
        return "common-name"
    return "none"


def _domain_of(uri: str) -> str | None:
    """The domain of a SIP URI without a user (section 7.1, rule 1); None for any other URI."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() not in ("sip", "sips") or "@" in rest:
        return None
    return rest.partition(";")[0].partition("?")[0].partition(":")[0].lower().rstrip(".")


def _wild(name: str, wanted: str) -> bool:
    return name.startswith("*.") and wanted.partition(".")[2] == name[2:]


def told(certificate: Certificate) -> tuple[str, ...]:
    """Every name in it, as the report shows them."""
    names = (*certificate.dns_names, *certificate.uris, *certificate.addresses)
    return names or ((certificate.common_name,) if certificate.common_name else ())

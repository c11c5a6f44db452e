"""The names of SIP headers: compact forms, and the RFC's spelling whatever the case."""

_RFC_SPELLINGS = """
    Accept Accept-Contact Accept-Encoding Accept-Language Alert-Info Allow Allow-Events Authentication-Info Authorization Call-ID Call-Info
    Contact Content-Disposition Content-Encoding Content-Language Content-Length Content-Type CSeq Date Diversion Error-Info Event Expires
    From Geolocation History-Info Identity Identity-Info In-Reply-To Join Max-Forwards MIME-Version Min-Expires Min-SE Organization
    P-Asserted-Identity P-Associated-URI P-Preferred-Identity Path Priority Privacy Proxy-Authenticate Proxy-Authorization Proxy-Require
    RAck Reason Record-Route Refer-To Referred-By Reject-Contact Replaces Reply-To Request-Disposition Require Retry-After Route RSeq Server
    Service-Route Session-Expires SIP-ETag SIP-If-Match Subject Subscription-State Supported Target-Dialog Timestamp To Unsupported
    User-Agent Via Warning WWW-Authenticate
"""
_RFC_NAMES = {name.lower(): name for name in _RFC_SPELLINGS.split()}
_COMPACT_FORMS = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "n": "Identity-Info",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
    "y": "Identity",
}
"""The registry of RFC 3261 section 7.3.3 and its successors."""


def long_name(name: str) -> str:
    """The RFC's spelling of a header name: ``v`` -> ``Via``, ``call-id`` -> ``Call-ID``; an unknown one ``X-Like-This``."""
    lower = name.lower()
    known = _COMPACT_FORMS.get(lower) or _RFC_NAMES.get(lower)
    return known or "-".join(part.capitalize() for part in lower.split("-"))

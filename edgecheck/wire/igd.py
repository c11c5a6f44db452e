"""UPnP Internet Gateway Device: the description, and the SOAP actions that only read.

What a router sends is hostile until proven otherwise: XML goes through ``defusedxml`` without any DTD, sizes are bounded, and names are
matched without their namespaces, because routers get those wrong. Actions that change anything are not written here on purpose.
"""

from typing import Literal, NamedTuple, get_args
from xml.etree.ElementTree import Element, ParseError  # the types alone: parsing is defusedxml's

from defusedxml.ElementTree import fromstring

from edgecheck.wire.errors import Malformed, TooLong

MAX_DESCRIPTION = 128 * 1024
"""Bytes. Real ones have 3 to 30 kB."""
MAX_ANSWER = 16 * 1024
"""Bytes of one SOAP answer. Real ones have below 2 kB."""
MAX_SERVICES = 64
TARGETS = (
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
)
"""What to search for: routers differ in which of these they answer."""
_CONNECTION = tuple(f"urn:schemas-upnp-org:service:{name}" for name in ("WANIPConnection:1", "WANIPConnection:2", "WANPPPConnection:1"))
Action = Literal["GetStatusInfo", "GetExternalIPAddress", "GetGenericPortMappingEntry"]
"""All that is ever asked."""
END_OF_LIST = (713, 714)
"""SpecifiedArrayIndexInvalid, NoSuchEntryInArray: the list ended before this index."""


class Service(NamedTuple):
    """A service of the device."""

    type: str
    control_url: str
    """As it stands there, relative or not: a stranger's word."""

    @property
    def line(self) -> str:
        """``WANIPConnection:1``"""
        return self.type.rsplit("service:", 1)[-1]


class Description(NamedTuple):
    """What a device says that it is."""

    manufacturer: str
    model: str
    model_number: str
    firmware: str
    base: str
    """``URLBase`` (UPnP 1.0); mostly empty."""
    connections: tuple[Service, ...]
    """Services that know a WAN address and port mappings, in the order of the description."""


class Fault(NamedTuple):
    """A UPnP error."""

    code: int
    text: str


def parse_description(data: bytes) -> Description:
    """Read a device description. Raises ``Malformed``, ``TooLong``."""
    root = _parse(data, MAX_DESCRIPTION)
    device = next((child for child in root if _name(child) == "device"), None)
    if _name(root) != "root" or device is None:
        raise Malformed("not a UPnP device description")
    services: list[Service] = []
    for element in root.iter():
        if _name(element) == "service" and len(services) < MAX_SERVICES:
            services.append(Service(_text(element, "serviceType"), _text(element, "controlURL")))
    return Description(
        _text(device, "manufacturer"),
        _text(device, "modelName"),
        _text(device, "modelNumber"),
        _text(device, "firmwareVersion") or _text(device, "softwareVersion"),
        _text(root, "URLBase"),
        tuple(service for service in services if service.type in _CONNECTION),
    )


def request(action: Action, service: str, index: int | None = None) -> bytes:
    """The SOAP body of a reading action; ``index`` for ``GetGenericPortMappingEntry``. Raises ``Malformed`` for anything else."""
    if action not in get_args(Action) or service not in _CONNECTION or (index is not None) != (action == "GetGenericPortMappingEntry"):
        raise Malformed(f"{action} of {service} is nothing that is asked here")
    argument = "" if index is None else f"<NewPortMappingIndex>{index:d}</NewPortMappingIndex>"
    return (
        '<?xml version="1.0"?>\r\n'
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/">'
        f'<s:Body><u:{action} xmlns:u="{service}">{argument}</u:{action}></s:Body></s:Envelope>\r\n'
    ).encode("ascii")


def parse_answer(data: bytes, action: Action) -> dict[str, str] | Fault:
    """The arguments of an answer, or the error that it holds. Raises ``Malformed``, ``TooLong``."""
    root = _parse(data, MAX_ANSWER)
    for element in root.iter():
        if _name(element) == f"{action}Response":
            return {_name(child): (child.text or "").strip() for child in element}
        if _name(element) == "UPnPError":
            code = _text(element, "errorCode")
            if not (code.isascii() and code.isdigit() and len(code) <= 4):
                raise Malformed("a UPnP error without a number")
            return Fault(int(code), _text(element, "errorDescription"))
    raise Malformed(f"not an answer to {action}")


def _parse(data: bytes, most: int) -> Element:
    if len(data) > most:
        raise TooLong(f"{len(data)} bytes of XML, at most {most} are read")
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except (ParseError, ValueError, LookupError) as error:  # ValueError: what defusedxml forbids, or an encoding that expat lacks
        raise Malformed(f"not XML that is read here: {type(error).__name__}") from error
    return root


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _text(element: Element, name: str) -> str:
    return next(((child.text or "").strip() for child in element if _name(child) == name), "")

"""UPnP IGD: descriptions as routers write them, the actions that read, and XML that wants to do harm."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecheck.wire import igd
from edgecheck.wire.errors import Malformed, TooLong, WireError
from edgecheck.wire.igd import Fault, Service

quick = settings(max_examples=200, deadline=None)
IP, PPP = "urn:schemas-upnp-org:service:WANIPConnection:1", "urn:schemas-upnp-org:service:WANPPPConnection:1"


def described(services: str, *, namespace: str = ' xmlns="urn:schemas-upnp-org:device-1-0"', extra: str = "") -> bytes:
    return f"""<?xml version="1.0"?>
<root{namespace}>{extra}<device>
 <deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>
 <manufacturer> Maker &amp; Sons </manufacturer><modelName>Box</modelName><modelNumber>7</modelNumber>
 <deviceList><device><manufacturer>somebody else's chip</manufacturer><modelName>WAN Device</modelName>
  <deviceList><device><serviceList>{services}</serviceList></device></deviceList>
 </device></deviceList></device></root>""".encode()


def service(kind: str, url: str) -> str:
    return f"<service><serviceType>{kind}</serviceType><serviceId>x</serviceId><controlURL>{url}</controlURL></service>"


def test_a_description():
    told = igd.parse_description(described(service("urn:schemas-upnp-org:service:Layer3Forwarding:1", "/l3") + service(PPP, "/ppp") + service(IP, "ip?a=1")))
    assert (told.manufacturer, told.model, told.model_number, told.base) == ("Maker & Sons", "Box", "7", "")
    assert told.connections == (Service(PPP, "/ppp"), Service(IP, "ip?a=1"))
    assert told.connections[0].line == "WANPPPConnection:1"


def test_namespaces_do_not_matter():
    told = igd.parse_description(described(service(IP, "/c"), namespace="", extra="<URLBase>http://192.168.1.1:80/</URLBase>"))
    assert (told.model, told.base, told.connections) == ("Box", "http://192.168.1.1:80/", (Service(IP, "/c"),))


def test_services_are_bounded():
    assert len(igd.parse_description(described(service(IP, "/c") * 500)).connections) == igd.MAX_SERVICES


def test_the_request_of_an_entry():
    body = igd.request("GetGenericPortMappingEntry", IP, 3).decode()
    assert f'<u:GetGenericPortMappingEntry xmlns:u="{IP}"><NewPortMappingIndex>3</NewPortMappingIndex></u:GetGenericPortMappingEntry>' in body
    assert "GetExternalIPAddress" in igd.request("GetExternalIPAddress", PPP).decode()


@pytest.mark.parametrize(
    ("action", "kind", "index"),
    [
        ("AddPortMapping", IP, None),
        ("DeletePortMapping", IP, None),
        ("ForceTermination", IP, None),
        ("GetStatusInfo", 'x"><evil/>', None),
        ("GetGenericPortMappingEntry", IP, None),
        ("GetStatusInfo", IP, 1),
    ],
)
def test_nothing_else_can_be_asked(action, kind, index):
    with pytest.raises(Malformed):
        igd.request(action, kind, index)


ANSWER = f"""<?xml version="1.0"?>
<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>
<u:GetExternalIPAddressResponse xmlns:u="{IP}"><NewExternalIPAddress> 203.0.113.1 </NewExternalIPAddress></u:GetExternalIPAddressResponse>
</s:Body></s:Envelope>""".encode()
FAULT = b"""<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:Client</faultcode>
<detail><UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>713</errorCode><errorDescription>SpecifiedArrayIndexInvalid</errorDescription>
</UPnPError></detail></s:Fault></s:Body></s:Envelope>"""


def test_answers():
    assert igd.parse_answer(ANSWER, "GetExternalIPAddress") == {"NewExternalIPAddress": "203.0.113.1"}
    assert igd.parse_answer(FAULT, "GetExternalIPAddress") == Fault(713, "SpecifiedArrayIndexInvalid")


def test_the_answer_to_another_question_is_none():
    with pytest.raises(Malformed):
        igd.parse_answer(ANSWER, "GetStatusInfo")


LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><root><device><modelName>&b;</modelName></device></root>'
FILE = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><root><device><modelName>&a;</modelName></device></root>'
DTD = b'<!DOCTYPE root SYSTEM "http://192.0.2.1/x.dtd"><root><device/></root>'


@pytest.mark.parametrize(
    "data",
    [b"", b"<", b"plain", LAUGHS, FILE, DTD, b"<html/>", b"<root/>", b'<?xml version="1.0" encoding="x-nothing"?><root><device/></root>', b"\xff\xfe<"],
    ids=["empty", "cut", "text", "entities", "file", "dtd", "another", "no device", "encoding", "half utf-16"],
)
def test_malformed(data):
    with pytest.raises(Malformed):
        igd.parse_description(data)


def test_bounds():
    with pytest.raises(TooLong):
        igd.parse_description(b" " * (igd.MAX_DESCRIPTION + 1))
    with pytest.raises(TooLong):
        igd.parse_answer(b" " * (igd.MAX_ANSWER + 1), "GetStatusInfo")


def test_as_deep_as_the_bound_allows():
    """Some thirty thousand elements within each other: read, and taken apart again, without recursion."""
    depth = (igd.MAX_DESCRIPTION - 60) // 7 // 2 * 2
    data = b"<root><device><modelName>m</modelName></device>" + b"<a>" * (depth // 2) + b"</a>" * (depth // 2) + b"</root>"
    assert len(data) <= igd.MAX_DESCRIPTION
    assert igd.parse_description(data).model == "m"


@quick
@given(st.binary(max_size=400))
def test_total_for_any_bytes(data):
    for parse in (igd.parse_description, lambda bytes_: igd.parse_answer(bytes_, "GetStatusInfo")):
        with pytest.raises(WireError):
            parse(data)


@quick
@given(st.lists(st.sampled_from(re.findall(rb"<[^>]*>|[^<]+", described(service(IP, "/c")) + FAULT + ANSWER)), max_size=40).map(b"".join))
def test_total_for_pieces_of_real_ones(data):
    for parse in (igd.parse_description, lambda bytes_: igd.parse_answer(bytes_, "GetExternalIPAddress")):
        try:
            assert parse(data) is not None
        except WireError:
            pass

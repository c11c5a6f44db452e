"""An account as it is typed: what is read, and one clear sentence for what is not."""

import msgspec
import pytest

from edgecheck.model.account import Account, Place, parse_account, parse_proxy
from edgecheck.model.errors import UsageError


@pytest.mark.parametrize(
    ("text", "user", "place"),
    [
        ("sip:alice@pbx.example.com", "alice", Place(host="pbx.example.com")),
        ("SIP:alice@PBX.example.com.", "alice", Place(host="pbx.example.com")),
        ("sips:alice@pbx.example.com", "alice", Place(host="pbx.example.com", secure=True)),
        ("sip:+49301234@192.0.2.1:5080", "+49301234", Place(host="192.0.2.1", port=5080)),
        ("sip:100@[2001:DB8:0::1]:5080", "100", Place(host="2001:db8::1", port=5080)),
        ("sip:100@x;transport=TCP", "100", Place(host="x", transport="tcp")),
        ("sip:100@x:5061;lr;transport=tls", "100", Place(host="x", port=5061, transport="tls")),
        ("sips:100@x;transport=tcp", "100", Place(host="x", transport="tls", secure=True)),
        ("sips:100@x;transport=ws", "100", Place(host="x", transport="wss", secure=True)),
        ("sip:al%20ice@x", "al%20ice", Place(host="x")),
        ("sip:ext;isub=1@x", "ext;isub=1", Place(host="x")),
        ("sip:alice@bücher.example", "alice", Place(host="xn--bcher-kva.example")),
        ("sip:alice@my_pbx.lan", "alice", Place(host="my_pbx.lan")),
    ],
)
def test_what_a_phone_takes(text: str, user: str, place: Place) -> None:
    account = parse_account(text)
    assert (account.user, account.registrar) == (user, place)
    assert account.next_hop == place


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "does not begin with sip:"),
        ("alice@example.com", "does not begin with sip:"),
        ("tel:+4930", "does not begin with sip:"),
        ("sip:", "not a SIP address"),
        ("sip:example.com", "names no user"),
        ("sip:@example.com", "holds no user"),
        ("sip:alice@", "not a SIP address"),
        ("sip:alice@exa mple.com", "blank"),
        ("sip:alice@example.com\r\nVia: x", "cannot be printed"),
        ("sip:alice@example..com", "neither a domain name"),
        ("sip:alice@-x.com", "neither a domain name"),
        (f"sip:alice@{'a' * 64}.com", "neither a domain name"),
        ("sip:alice@300.1.1.1", "not an IP address"),
        ("sip:alice@example.com:0", "port 0"),
        ("sip:alice@example.com:99999", "not a SIP address"),
        ("sip:alice@example.com:sip", "not a SIP address"),
        ("sip:alice@example.com;transport=sctp", "udp, tcp, tls, ws or wss"),
        ("sips:alice@example.com;transport=udp", "asks for TLS"),
        ("sip:<alice>@example.com", "holds no user"),
    ],
)
def test_one_sentence_for_what_it_does_not(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_account(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["sip:alice:hunter2@example.com", "sip:alice:hunter2@exa mple.com", "sip:alice:hunter2@", "xip:alice:hunter2@example.com"])
def test_a_password_in_the_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_account(text)
    assert "hunter2" not in str(caught.value)


def test_the_proxy_is_the_next_hop_and_the_domain_stays_the_account() -> None:
    account = parse_account("sip:alice@example.com", proxy="sip:edge.example.net:5070;transport=tcp")
    assert account.next_hop == Place(host="edge.example.net", port=5070, transport="tcp") == parse_proxy("edge.example.net:5070;transport=tcp")
    assert account.aor == "sip:alice@example.com"
    assert account.next_hop.uri == "sip:edge.example.net:5070;transport=tcp"
    with pytest.raises(UsageError, match="no user"):
        parse_proxy("sip:alice@edge.example.net")


def test_an_account_survives_a_report() -> None:
    account = parse_account("sips:alice@[2001:db8::1]", auth_user="0049", dry=True)
    assert msgspec.convert(msgspec.to_builtins(account), Account) == account
    assert account.aor == "sips:alice@[2001:db8::1]"

"""Digest: the RFCs' own examples, and whatever a stranger may write into a challenge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecheck.wire import digest

NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
OPAQUE = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
RFC_7616 = f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={{}}, nonce="{NONCE}", opaque="{OPAQUE}"'


def only(value: str) -> digest.Challenge:
    (challenge,) = digest.parse_challenges([value])
    return challenge


def sent(challenge: digest.Challenge, **more: object) -> dict[str, str]:
    asked = {"username": "alice", "password": "secret", "method": "REGISTER", "uri": "sip:example.com", "cnonce": "0a4f113b", **more}
    return digest.parse_parameters(digest.answer(challenge, **asked).value.removeprefix("Digest"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
    ],
)
def test_rfc_7616_section_3_9_1(algorithm: str, expected: str) -> None:
    made = sent(
        only(RFC_7616.format(algorithm)), username="Mufasa", password="Circle of Life", method="GET", uri="/dir/index.html", cnonce=CNONCE
    )
    assert made["response"] == expected
    assert (made["qop"], made["nc"], made["opaque"], made["algorithm"]) == ("auth", "00000001", OPAQUE, algorithm)


def test_rfc_7616_section_3_9_2_as_its_erratum_4897_has_it() -> None:
    """The RFC's own figures are those of a truncated SHA-512."""
    challenge = only(
        'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
        'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true'
    )
    made = sent(
        challenge,
        username="J\u00e4s\u00f8n Doe",
        password="Secret, or not?",
        method="GET",
        uri="/doe.json",
        cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
    )
    assert made["username"] == "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    assert made["response"] == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
    assert made["userhash"] == "true"


def test_rfc_2617_section_3_5() -> None:
    challenge = only(
        'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    made = sent(challenge, username="Mufasa", password="Circle Of Life", method="GET", uri="/dir/index.html")
    assert made["response"] == "6629fae49393a05397450978507c4ef1"
    assert "algorithm" not in made


def test_without_qop_it_is_the_way_of_rfc_2069() -> None:
    # The example of RFC 2069 section 2.4, with the response of its erratum 749.
    challenge = only('Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"')
    made = sent(challenge, username="Mufasa", password="CircleOfLife", method="GET", uri="/dir/index.html")
    assert made["response"] == "1949323746fe6a43ef61f9606e7febea"
    assert not {"qop", "nc", "cnonce"} & set(made)


def test_session_algorithms_hash_the_nonces_into_the_secret() -> None:
    # By hand from RFC 7616 section 3.4.2, with another library's MD5 in the form of its published digest of each step.
    import hashlib

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    secret = md5(md5("alice:r:secret") + ":n:0a4f113b")
    expected = md5(f"{secret}:n:00000001:0a4f113b:auth:{md5('REGISTER:sip:example.com')}")
    assert sent(only('Digest realm="r", nonce="n", qop="auth", algorithm=MD5-sess'))["response"] == expected
    assert sent(only('Digest realm="r", nonce="n", algorithm=SHA-256-sess'))["cnonce"] == "0a4f113b"


def test_auth_int_covers_the_body_and_is_taken_only_where_nothing_else_is_offered() -> None:
    alone, both = only('Digest realm="r", nonce="n", qop="auth-int"'), only('Digest realm="r", nonce="n", qop="auth-int,auth"')
    assert sent(alone, body=b"one")["response"] != sent(alone, body=b"two")["response"]
    assert sent(alone)["qop"] == "auth-int"
    assert sent(both)["qop"] == "auth"


def test_the_topmost_that_can_be_answered_is_taken() -> None:
    offered = digest.parse_challenges(
        ['Digest realm="r", nonce="a", algorithm=AKAv1-MD5', 'Basic realm="r", Digest realm="r", nonce="b", algorithm=SHA-256', 'Digest realm="r", nonce="c"']
    )
    assert [challenge.scheme for challenge in offered] == ["Digest", "Basic", "Digest", "Digest"]
    chosen = digest.choose(offered)
    assert chosen is not None
    assert (chosen.nonce, chosen.name) == ("b", "SHA-256")
    assert offered[0].problem == "algorithm AKAv1-MD5"
    assert offered[1].problem == "scheme Basic"


@pytest.mark.parametrize(
    "value", [f'Digest realm="r", nonce="{"n" * 5000}"', 'Digest realm="r", nonce="n", qop="token"', 'Digest realm="r"', "Bearer", 'Digest realm="r", nonce="n", algorithm="SHA-1"']
)
def test_what_cannot_be_answered_is_not_chosen(value: str) -> None:
    challenges = digest.parse_challenges([value])
    assert digest.choose(challenges) is None
    with pytest.raises(ValueError, match="cannot be answered"):
        digest.answer(challenges[0], username="a", password="b", method="REGISTER", uri="sip:c", cnonce="d")


def test_a_sloppy_challenge_is_understood() -> None:
    challenge = only('digest NONCE = "a\\"b" ,,realm=bare,stale=TRUE , qop=auth')
    assert (challenge.nonce, challenge.realm, challenge.stale, challenge.qop) == ('a"b', "bare", True, ("auth",))
    assert sent(challenge)["nonce"] == 'a"b'


def test_the_count_says_how_often_a_nonce_was_used() -> None:
    assert sent(only('Digest realm="r", nonce="n", qop="auth"'), count=17)["nc"] == "00000011"


def test_a_server_that_knows_the_password_is_recognized() -> None:
    made = digest.answer(only(RFC_7616.format("MD5")), username="a", password="b", method="REGISTER", uri="sip:c", cnonce=CNONCE)
    expected = digest.response(
        algorithm="MD5", username="a", realm="http-auth@example.org", password="b", method="", uri="sip:c", nonce=NONCE, qop="auth",
        nc="00000001", cnonce=CNONCE,
    )  # fmt: skip
    assert made.expected_proof == expected != digest.parse_parameters(made.value)["response"]


def test_proxy_challenges_are_answered_to_the_proxy() -> None:
    (challenge,) = digest.parse_challenges(['Digest realm="r", nonce="n"'], proxy=True)
    assert digest.answer(challenge, username="a", password="b", method="REGISTER", uri="sip:c", cnonce="d").header == "Proxy-Authorization"


def test_what_is_shown_holds_no_response() -> None:
    value = digest.answer(only(RFC_7616.format("SHA-256")), username="a", password="b", method="REGISTER", uri="sip:c", cnonce="d").value
    response = digest.parse_parameters(value)["response"]
    hidden = digest.masked(f'Authorization: {value}\r\nAuthentication-Info: rspauth="{"ab" * 16}"')
    assert response not in hidden
    assert "abab" not in hidden
    assert NONCE in hidden


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    for challenge in digest.parse_challenges([text, f"Digest {text}"]):
        if challenge.problem is None:
            value = digest.answer(challenge, username=text, password=text, method="REGISTER", uri="sip:a", cnonce="b").value
            assert "\r" not in value
            assert "\n" not in value


def test_a_flood_of_challenges_is_cut() -> None:
    assert len(digest.parse_challenges(["Digest nonce=a, " * 1000])) == 16

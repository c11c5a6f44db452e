"""The benchmark's judge: a wrong cause is never overlooked, a symptom is no cause, and "could not tell" is not wrong."""

import msgspec
import pytest

from tests.lab.truth import Truth, judge
from tests.reports import finding, report, result


def told(*ids, verdict="fail", located=None, observed=""):
    spans = None if located is None else [hop if isinstance(hop, tuple) else (hop, None) for hop in located]
    rows = None if spans is None else [{"hop": hop, "address": f"10.0.0.{hop}", "where": [], "up_to_hop": far} for hop, far in spans]
    checks = [result(finding(one, verdict, observed=observed), observation={"located": rows}) for one in ids]
    return msgspec.to_builtins(report(*checks, result(finding("nat-behavior.endpoint-independent", "pass"))))


NO_RULE = Truth(causes=("port-forwarding.no-rule",))
EITHER = Truth(fits=("port-forwarding.no-rule", "port-forwarding.provider-drops"))
BOTH = Truth(causes=("sip-alg.rewritten|sip-alg.inconsistent",), hops=(1, 2))
ALG = Truth(causes=("sip-alg.rewritten|sip-alg.inconsistent",), hops=(2,))


@pytest.mark.parametrize(
    ("seen", "truth", "judgement"),
    [
        (told("port-forwarding.no-rule"), NO_RULE, "right"),
        (told("port-forwarding.no-rule", "port-forwarding.blocked"), NO_RULE, "right"),
        (told("port-forwarding.blocked"), NO_RULE, "inconclusive"),
        (told("port-forwarding.no-rule", verdict="inconclusive"), NO_RULE, "inconclusive"),
        (told("port-forwarding.host-firewall"), NO_RULE, "wrong"),
        (told("port-forwarding.no-rule", "port-forwarding.host-firewall"), NO_RULE, "wrong"),
        (told("port-forwarding.host-firewall", verdict="warn"), NO_RULE, "wrong"),
        (told("port-forwarding.host-firewall", verdict="inconclusive"), NO_RULE, "inconclusive"),
        (told("port-forwarding.blocked", observed="blocked: no-rule or provider-drops"), NO_RULE, "inconclusive"),
        (told("port-forwarding.blocked", observed="blocked: wrong-host or provider-drops"), NO_RULE, "wrong"),
        (told("port-forwarding.blocked", observed="blocked: no-rule or provider-drops"), EITHER, "right"),
        (told("port-forwarding.blocked", observed="blocked: no-rule or wrong-host"), EITHER, "inconclusive"),
        (told("port-forwarding.no-rule"), EITHER, "wrong"),
        (told("port-forwarding.blocked"), EITHER, "inconclusive"),
        (told("rtp-range.inbound-blocked", observed="10060-10099: no-rule"), NO_RULE, "inconclusive"),
        (told("rtp-range.inbound-blocked", observed="10060-10099: no-rule"), Truth(causes=("rtp-range.no-rule",)), "right"),
        (told("rtp-range.inbound-blocked", observed="10060-10099: host-firewall"), NO_RULE, "wrong"),
        (told("rtp-range.inbound-blocked", observed="10060-10099: no-rule"), EITHER, "wrong"),
        (told("rtp-range.inbound-blocked", observed="10060-10099: wrong-host or filtered-behind"), NO_RULE, "wrong"),
        (told("rtp-range.inbound-blocked", observed="10060-10099"), NO_RULE, "inconclusive"),
        (told(), Truth(), "right"),
        (told("port-forwarding.blocked"), Truth(), "right"),
        (told("port-forwarding.blocked"), Truth(forbidden=("port-forwarding.*",)), "wrong"),
        (told("mapping-lifetime.short"), Truth(), "wrong"),
        (told("host.docker-bridge"), Truth(also=("host.*",)), "right"),
        (told("sip-alg.inconsistent", located=[2]), ALG, "right"),
        (told("sip-alg.inconsistent", located=[]), ALG, "inconclusive"),
        (told("sip-alg.inconsistent", located=[1]), ALG, "wrong"),
        (told("sip-alg.inconsistent", located=[1, 2]), ALG, "wrong"),
        (told("sip-alg.inconsistent", located=[1]), BOTH, "inconclusive"),
        (told("sip-alg.inconsistent", located=[1, 2]), BOTH, "right"),
        (told("sip-alg.inconsistent", located=[(1, 2)]), ALG, "inconclusive"),
        (told("sip-alg.inconsistent", located=[(0, 1)]), ALG, "wrong"),
    ],
)
def test_judgements(seen, truth, judgement):
    assert judge(seen, truth).judgement == judgement

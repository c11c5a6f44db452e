"""An account that is well, on a line that loses much: what the registration doctor makes of it.

    python -m tests.bench.bench_loss [--loss 40] [--accounts 40] [--rounds 6]

Each round stands a network up and looks at so many accounts of a Kamailio at once, over UDP, TCP and TLS; the core drops each packet with
that chance, each way. Bar: nobody is accused: no failure anywhere, whatever is lost.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.bench.measure import Bars, conditions, table
from tests.lab import kamailio
from tests.lab.ground import python
from tests.lab.registrations import account
from tests.lab.topology import SERVER, Plan, Topology

TRANSPORTS = ("udp", "tcp", "tls")


def look(transport: str, accounts: int, loss: int, directory: Path) -> tuple[Counter[str], list[str]]:
    """How the registrations ended, by finding and verdict; every failure, in words."""
    with Topology(Plan(), directory / "ground") as topology:
        kamailio.start(topology, directory / "kamailio", SERVER)
        drop = f"type filter hook forward priority filter; policy accept; numgen random mod 100 < {loss} drop;"
        topology.ground.shell(f"ip netns exec core nft -f - <<'END'\ntable inet weather {{ chain across {{ {drop} }}\n}}\nEND")
        authority = {"ca": str(directory / "kamailio" / "ca.pem")} if transport == "tls" else {}
        wanted = [account(f"user{number}", f"{SERVER};transport={transport}", **authority) for number in range(accounts)]
        done = topology.ground.run("client", *python("-m", "tests.lab.visits", json.dumps(wanted)), timeout=400, check=True)
    ended: Counter[str] = Counter()
    failed: list[str] = []
    for report in json.loads(done.stdout):
        for check in report["checks"]:
            failed += [finding["summary"] for finding in check["findings"] if finding["verdict"] == "fail"]
            if check["id"] == "registration":
                first = check["findings"][0]
                ended[f"{first['id'].partition('.')[2]} ({first['verdict']})"] += 1
    return ended, failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loss", type=int, default=40, help="percent, each way")
    parser.add_argument("--accounts", type=int, default=40, help="at once")
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    print(conditions())
    rows: list[tuple[str, str, str]] = []
    bars = Bars()
    for transport in TRANSPORTS:
        ended: Counter[str] = Counter()
        failed: list[str] = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as scratch:
                more, wrong = look(transport, options.accounts, options.loss, Path(scratch))
            ended += more
            failed += wrong
        rows += [(transport.upper(), cause, str(count)) for cause, count in ended.most_common()]
        for words in failed:
            print(f"{transport.upper()}: {words}")
        bars.hold(f"{transport.upper()}, {options.loss} % lost each way: failures", f"{len(failed)} of {ended.total()}", "0", not failed)
    print(table(("over", "ended", "accounts"), rows))
    return bars.show()


if __name__ == "__main__":
    sys.exit(main())

"""The commands and their options."""

from typing import Annotated

import typer

from edgecheck import __version__
from edgecheck.cli import baseline_app, completion, options

FIRST_CONTACT = """\
edgecheck finds out what this network's edge does to VoIP.

  edgecheck run edge://TOKEN@HOST    check this network against your echo server
  edgecheck run                      try it on this machine alone
  edgecheck register sip:me@domain   why does this account not register?
  edgecheck stun HOST                ask any STUN server how this NAT behaves
  edgecheck alg --against sip:HOST   look for a SIP ALG without an echo server
  edgecheck explain ID|REPORT.json   what a finding means; a report judged anew
  edgecheck compare BEFORE AFTER     what changed between two saved reports
  edgecheck watch edge://TOKEN@HOST  look again and again; tell what changes

No echo server yet? On a host outside: install edgecheck, run edgecheck-server.
Every option: edgecheck --help, edgecheck run --help
"""

app = typer.Typer(
    name="edgecheck",
    help="Finds out what this network's edge does to VoIP: port forwarding, port preservation, NAT behavior, RTP range, SIP ALG.",
    epilog="Exit status: 0 fine, 1 warnings, 2 failures, 3 undecided or no server, 64 command line wrong.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and leave.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"edgecheck {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(FIRST_CONTACT, nl=False)


@app.command()
def run(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CHECK|TARGET",
            show_default=False,
            autocompletion=completion.checks,
            help="Only these checks, by id (none: all of the profile), and edge://[TOKEN@]HOST[:PORT]. "
            "Without a server an embedded one is started, and only this machine is checked.",
        ),
    ] = None,
    server: options.Server = None,
    token: options.Token = None,
    token_file: options.TokenFile = None,
    profile: options.Profile = "generic-pbx",
    json: options.Json = None,
    html: options.Html = None,
    junit: options.Junit = None,
    source: options.Source = None,
    ipv4: options.Ipv4 = False,
    ipv6: options.Ipv6 = False,
    pace: Annotated[int | None, typer.Option("--pace", metavar="N", min=0, help="Probes a second at most; 0 = as fast as it goes.")] = None,
    timeout: Annotated[float | None, typer.Option("--timeout", metavar="S", help="Bound on the whole run, seconds.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="mapping-lifetime: idle times up to 45 s only, not to 180 s.")] = False,
    tcp: Annotated[bool, typer.Option("--tcp", help="mapping-lifetime: how long idle TCP connections live, too.")] = False,
    baseline: Annotated[
        str | None, typer.Option("--baseline", metavar="NAME|FILE", help="Compare with this earlier report; a regression is a failure.")
    ] = None,
    share: Annotated[bool, typer.Option("--share", help="Leave the report with the server, for its admin.")] = False,
    no_history: options.NoHistory = False,
    quiet: options.Quiet = False,
    no_color: options.NoColor = False,
    verbose: options.Verbose = False,
) -> None:
    """Check this network."""
    from edgecheck.cli import run as command

    asked = command.Asked(
        words=tuple(words or ()),
        server=server,
        token=token,
        token_file=token_file,
        profile=profile,
        source=source,
        family=command.family(ipv4, ipv6),
        pace=pace,
        timeout=timeout,
        quick=quick,
        tcp=tcp,
        baseline=baseline,
        share=share,
        history=not no_history,
    )
    raise typer.Exit(command.run(asked, command.Output(json=json, html=html, junit=junit, quiet=quiet, no_color=no_color)))


@app.command()
def register(
    account: Annotated[str, typer.Argument(metavar="sip:USER@DOMAIN[:PORT][;transport=T]", help="The account, as a phone has it.")],
    auth_user: Annotated[
        str | None, typer.Option("--auth-user", metavar="U", help="User name for authentication, where it is another one.")
    ] = None,
    password_file: Annotated[
        str | None,
        typer.Option("--password-file", metavar="F", help="The password, read from a file (or EDGECHECK_SIP_PASSWORD, or a prompt)."),
    ] = None,
    proxy: Annotated[str | None, typer.Option("--proxy", metavar="sip:HOST[:PORT][;transport=T]", help="Outbound proxy.")] = None,
    resolver: Annotated[
        str | None, typer.Option("--resolver", metavar="IP[:PORT]", help="Ask this DNS server, and compare with this machine's own.")
    ] = None,
    stun: Annotated[
        str | None,
        typer.Option("--stun", metavar="HOST[:PORT]", help="Ask this STUN server (an echo server is one) for our public address."),
    ] = None,
    ca: Annotated[str | None, typer.Option("--ca", metavar="FILE", help="Trust these certificate authorities as well (PEM).")] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Stop after the challenge: register nothing.")] = False,
    bundle: Annotated[
        str | None, typer.Option("--bundle", metavar="FILE.zip", help="Write what a provider's support asks for: report, messages, pcap.")
    ] = None,
    json: options.Json = None,
    html: options.Html = None,
    junit: options.Junit = None,
    source: options.Source = None,
    ipv4: options.Ipv4 = False,
    ipv6: options.Ipv6 = False,
    timeout: options.Timeout = None,
    no_history: options.NoHistory = False,
    quiet: options.Quiet = False,
    no_color: options.NoColor = False,
    verbose: options.Verbose = False,
) -> None:
    """Why does this account not register?"""
    from edgecheck.cli import register as command
    from edgecheck.cli.output import Output
    from edgecheck.cli.run import family

    asked = command.Asked(
        account=account,
        auth_user=auth_user,
        password_file=password_file,
        proxy=proxy,
        resolver=resolver,
        stun=stun,
        ca=ca,
        dry=dry,
        bundle=bundle,
        source=source,
        family=family(ipv4, ipv6),
        timeout=timeout,
        history=not no_history,
    )
    raise typer.Exit(command.register(asked, Output(json=json, html=html, junit=junit, quiet=quiet, no_color=no_color)))


@app.command()
def alg(
    against: Annotated[
        str, typer.Option("--against", metavar="sip:HOST[:PORT][;transport=T]", help="Any SIP server; nothing is registered there.")
    ],
    json: options.Json = None,
    junit: options.Junit = None,
    source: options.Source = None,
    ipv4: options.Ipv4 = False,
    ipv6: options.Ipv6 = False,
    timeout: options.Timeout = None,
    no_history: options.NoHistory = False,
    quiet: options.Quiet = False,
    no_color: options.NoColor = False,
    verbose: options.Verbose = False,
) -> None:
    """Look for a SIP ALG from one side, without an echo server."""
    from edgecheck.cli import alg as command
    from edgecheck.cli.output import Output
    from edgecheck.cli.run import family

    asked = command.Asked(against=against, source=source, family=family(ipv4, ipv6), timeout=timeout, history=not no_history)
    raise typer.Exit(command.alg(asked, Output(json=json, junit=junit, quiet=quiet, no_color=no_color, offers="--json report.json")))


@app.command()
def checks(verbose: options.Verbose = False) -> None:
    """List the checks."""
    from edgecheck.cli import listing

    listing.checks()


@app.command()
def profiles(
    name: Annotated[str | None, typer.Argument(metavar="[NAME|FILE]", help="Show this one in full.", show_default=False)] = None,
    verbose: options.Verbose = False,
) -> None:
    """List the profiles, or show one."""
    from edgecheck.cli import listing

    listing.profiles(name)


@app.command()
def explain(
    what: Annotated[
        str,
        typer.Argument(
            metavar="ID|REPORT.json",
            help="A finding (sip-alg.rewritten), a check, a saved report (- is stdin), a run of the history (@12, @last).",
        ),
    ],
    make: Annotated[
        str,
        typer.Option("--for", metavar="NAME", show_default=False, help="Of a page's tables: this router or PBX only (netgear, asterisk)."),
    ] = "",
    whole: Annotated[bool, typer.Option("--all", help="A page with its tables of all makes (on a terminal only their names).")] = False,
    json: options.Json = None,
    html: options.Html = None,
    junit: options.Junit = None,
    quiet: options.Quiet = False,
    no_color: options.NoColor = False,
    verbose: options.Verbose = False,
) -> None:
    """Explain a finding, or judge a saved report anew."""
    from edgecheck.cli import explain as command
    from edgecheck.cli.output import Output

    raise typer.Exit(command.explain(what, Output(json=json, html=html, junit=junit, quiet=quiet, no_color=no_color), make, whole))


@app.command()
def settings(
    report: options.SavedReport,
    pbx: Annotated[
        str | None,
        typer.Option(
            "--pbx", metavar="NAME", help="asterisk, freepbx, freeswitch, fusionpbx, kamailio or 3cx (default: as the report's profile)."
        ),
    ] = None,
    verbose: options.Verbose = False,
) -> None:
    """Print what a saved report's edge calls for in a PBX, ready to paste."""
    from edgecheck.cli import settings as command

    raise typer.Exit(command.settings(report, pbx))


@app.command()
def stun(
    host: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="Any STUN server (RFC 5780; port 3478 if none is given).")],
    json: options.Json = None,
    source: options.Source = None,
    ipv4: options.Ipv4 = False,
    ipv6: options.Ipv6 = False,
    no_color: options.NoColor = False,
    verbose: options.Verbose = False,
) -> None:
    """Ask any STUN server how the NAT behaves."""
    from edgecheck.cli import stun as command

    raise typer.Exit(command.stun(host, source, command.family(ipv4, ipv6), json, no_color))


@app.command()
def compare(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="The earlier report: a .json file, - for stdin, or a baseline's name.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The later one.")],
    json: options.Json = None,
    quiet: options.Quiet = False,
    no_color: options.NoColor = False,
    verbose: options.Verbose = False,
) -> None:
    """Tell what changed between two saved reports; a regression is a failure."""
    from edgecheck.cli import compare as command

    raise typer.Exit(command.compare(before, after, command.Sink(json=json, quiet=quiet, no_color=no_color)))


@app.command()
def report(
    name: options.SavedReport,
    form: Annotated[str, typer.Option("--format", metavar="F", help="markdown, text, html, junit, csv or json.")] = "markdown",
    redact: Annotated[bool, typer.Option("--redact", help="Words in place of addresses and names, for a public ticket.")] = False,
    tried: Annotated[
        list[str] | None, typer.Option("--tried", metavar="TEXT", help="A step already tried; may be given again.", show_default=False)
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to write it.")] = "-",
    verbose: options.Verbose = False,
) -> None:
    """Turn a saved report into a ticket, a page, a table or JUnit XML."""
    from edgecheck.cli import report as command

    raise typer.Exit(command.report(name, command.form(form), redacted=redact, tried=tuple(tried or ()), output=output))


app.add_typer(baseline_app.app, name="baseline")


@app.command()
def history(
    what: Annotated[str, typer.Argument(metavar="[show|trends|remove]", help="Nothing: list the runs.", show_default=False)] = "",
    run: Annotated[str, typer.Argument(metavar="[@RUN]", help="A run as listed (@12, @last); remove takes all, too.")] = "@last",
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, help="How many are listed.")] = 20,
    no_color: options.NoColor = False,
    verbose: options.Verbose = False,
) -> None:
    """List the runs that were kept; show one, or how a place went over time."""
    from edgecheck.cli import history as command

    raise typer.Exit(command.history(what, run, most, no_color))


@app.command()
def watch(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="CHECK|TARGET", show_default=False, help="As for run; without a check: those of the profile but rtp-range."),
    ] = None,
    every: Annotated[str, typer.Option("--every", metavar="T", help="How often: 90 (seconds), 15m, 1h; give or take a tenth.")] = "15m",
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="[HOST]:PORT", help="Serve Prometheus metrics there (:9595: on every address).")
    ] = None,
    textfile: Annotated[
        str | None, typer.Option("--textfile", metavar="FILE", help="Write the metrics to this file (node exporter's textfile collector).")
    ] = None,
    webhook: Annotated[
        str | None, typer.Option("--webhook", metavar="URL", help="POST JSON there on every change (better: EDGECHECK_WEBHOOK).")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once and end: for a timer of one's own.")] = False,
    server: options.Server = None,
    token: options.Token = None,
    token_file: options.TokenFile = None,
    profile: options.Profile = "generic-pbx",
    source: options.Source = None,
    ipv4: options.Ipv4 = False,
    ipv6: options.Ipv6 = False,
    timeout: Annotated[float | None, typer.Option("--timeout", metavar="S", help="Bound on each look, seconds.")] = None,
    no_history: options.NoHistory = False,
    no_color: options.NoColor = False,
    verbose: options.Verbose = False,
) -> None:
    """Look again and again; tell what changed."""
    from edgecheck.cli import run as plain
    from edgecheck.cli import watch as command

    asked = plain.Asked(
        words=tuple(words or ()),
        server=server,
        token=token,
        token_file=token_file,
        profile=profile,
        source=source,
        family=plain.family(ipv4, ipv6),
        pace=None,
        timeout=timeout,
        quick=True,
        history=not no_history,
    )
    watched = command.Watched(every=every, metrics=metrics, textfile=textfile, webhook=webhook, once=once, no_color=no_color)
    raise typer.Exit(command.watch(asked, watched))


@app.command("completion")
def completion_script(
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish|powershell", help='For bash: eval "$(edgecheck completion bash)"')],
    verbose: options.Verbose = False,
) -> None:
    """Print the script that completes commands, checks and profiles in a shell."""
    typer.echo(completion.script(shell))


@app.command()
def manual(
    program: Annotated[str, typer.Argument(metavar="edgecheck|edgecheck-server", help="Whose page.")] = "edgecheck",
    verbose: options.Verbose = False,
) -> None:
    """Print the manual page: edgecheck manual | man -l -"""
    from edgecheck.cli import manual as command

    typer.echo(command.page(command.known(program)), nl=False)

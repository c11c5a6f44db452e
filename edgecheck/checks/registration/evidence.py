"""Findings and the sentences of fact under them."""

from edgecheck.checks.registration.observation import Attempt, RegistrationObservation
from edgecheck.model.verdict import Finding, Verdict

_WHAT = {
    "fetch": "REGISTER that asks for the bindings",
    "register": "REGISTER with our Contact",
    "remove": "REGISTER that removes our Contact",
    "reach": "OPTIONS to the own address",
}


def found(cause: str, verdict: Verdict, seen: RegistrationObservation, summary: str, **more: object) -> Finding:
    """A finding of this check about the account; ``evidence`` is put before what was sent and answered."""
    fields: dict[str, object] = {"subject": seen.aor, **more}
    fields["evidence"] = (*_texts(fields.pop("evidence", ())), *account_of(seen))
    return Finding(id=f"registration.{cause}", verdict=verdict, summary=summary, **fields)  # type: ignore[arg-type]


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, (tuple, list)) else ()


def account_of(seen: RegistrationObservation) -> tuple[str, ...]:
    """Every request and what came of it, one sentence each."""
    lines = [sentence(attempt) for attempt in seen.attempts]
    if seen.local and seen.seen_as and seen.seen_as != seen.local:
        lines.append(f"sent from {seen.local}, seen by the server as {seen.seen_as}")
    return tuple(lines) or ("nothing was sent",)


def sentence(attempt: Attempt) -> str:
    """``REGISTER with our Contact, with credentials (MD5), to UDP 192.0.2.1:5060: 200 OK after 12 ms``"""
    what = _WHAT[attempt.purpose] + (f", with credentials ({attempt.algorithm})" if attempt.credentials else "")
    text = f"{what}, to {way(attempt)}: "
    if attempt.status is not None:
        text += f"{answer(attempt)} after {attempt.elapsed_s * 1000:.0f} ms"
        if attempt.copies > 1:
            text += f" and {attempt.copies} copies"
        if attempt.challenges:
            text += "; asked for " + ", ".join(
                f"{each.algorithm}{' (' + each.problem + ')' if each.problem else ''} realm {each.realm!r}{' stale' if each.stale else ''}"
                for each in attempt.challenges
            )
        for name, value in (
            ("Warning", attempt.warning),
            ("Retry-After", attempt.retry_after_s),
            ("Min-Expires", attempt.min_expires_s),
            ("Require/Unsupported", ", ".join(attempt.requires)),
            ("came from", attempt.answered_from),
        ):
            if value:
                text += f"; {name} {value}"
        return text
    if attempt.trouble == "silent":
        return f"{text}no answer in {attempt.elapsed_s:.1f} s to {attempt.copies} copies"
    return f"{text}{attempt.words or attempt.trouble}"


def way(attempt: Attempt) -> str:
    """``UDP 192.0.2.1:5060``"""
    return f"{attempt.transport.upper()} {attempt.target}"


def answer(attempt: Attempt) -> str:
    """``403 Forbidden``"""
    return f"{attempt.status} {attempt.reason or ''}".strip()


def host_of(endpoint: str | None) -> str:
    """The address of ``ip:port``; empty for None."""
    return "" if endpoint is None else endpoint.rpartition(":")[0].strip("[]")

"""Whose packets have reached which port: only another session's can vouch for the server's own side."""

from echo_server.sessions.reached import Reached


def test_a_session_does_not_vouch_for_itself() -> None:
    reached = Reached()
    reached.note(4, 3478, 1)
    reached.note(4, 3478, 1)
    assert reached.by_others(4, 1) == ()
    assert reached.by_others(4, 2) == ((3478, 3478),)


def test_two_sessions_vouch_for_each_other_and_not_across_families() -> None:
    reached = Reached()
    for session in (1, 2):
        reached.note(4, 10_000, session)
        reached.note(4, 10_001, session)
    assert reached.by_others(4, 1) == reached.by_others(4, 2) == ((10_000, 10_001),)
    assert reached.by_others(6, 3) == ()

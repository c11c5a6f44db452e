"""Where Python looks for cyclic garbage: not among what was loaded, which all stays to the end.

It would look there several hundred times while modules are imported, and once more when the process ends: a sixth of the time that a
short command takes.
"""

import gc

_USUAL = gc.get_threshold()
_WHILE_LOADING = 100_000
"""Objects made: more than all modules of a run have. Whatever makes more is looked at after all, so that nothing grows without bound."""


def loading() -> None:
    """From now on modules are loaded, mostly."""
    gc.set_threshold(_WHILE_LOADING, *_USUAL[1:])


def loaded() -> None:
    """The work begins, with garbage of its own."""
    if gc.get_threshold()[0] == _WHILE_LOADING:
        ended()


def ended() -> None:
    """Whatever is there now is to stay."""
    gc.set_threshold(*_USUAL)
    gc.freeze()

"""One cycle, from what is read to what is remembered."""

from sync.cycle.cycle import run
from sync.cycle.look import look
from sync.cycle.task import Task, attempt

__all__ = ["Task", "attempt", "look", "run"]

"""A configuration that runs cycles, and remembers from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Self

from ulid import ULID

from sync.app.credentials import Credentials
from sync.app.graph import graph_source
from sync.app.notify import Notifications, beat, send_tests
from sync.app.remembered import Remembered
from sync.app.stores import build_store
from sync.config.load import Config
from sync.config.resolve.overlap import in_other_stores
from sync.config.resolve.select import Selected
from sync.config.resolve.uses import renewal_rules, uses
from sync.config.schedule import needs_state_file, probe_after, stuck_after, verify_every
from sync.config.schema.references import StoreReference
from sync.config.schema.settings import Schedule
from sync.core.memory.memory import Memory, Rhythm
from sync.core.memory.pace import allowance
from sync.core.memory.quota import Pool, QuotaKey
from sync.core.plan.guards import Brake
from sync.core.plan.plan import Plan
from sync.core.report.cause_events import cause_events
from sync.core.report.causes import Warned, rejected
from sync.core.report.changes import config_changes
from sync.core.report.event import EventLog
from sync.core.report.finding import Finding
from sync.core.report.notices import config_messages, test_message
from sync.core.report.report import Report
from sync.core.secret import CredentialError, Secret
from sync.cycle import Task, look, run
from sync.cycle.look import Current
from sync.doctor.chain import Examination
from sync.graph.source import GraphSource
from sync.ops.notify import Delivery, Receiver
from sync.runtime.garbage import uncollected
from sync.runtime.threads import GraceClock, SystemClock
from sync.stores.interface import Store

_LOOK_TIMEOUT = 10.0
"""Seconds for one call of Graph while a person waits for the answer."""


class App:
    """A configuration that can run cycles. Stores keep logins and connections between cycles, the Graph client keeps none.

    Every credential is read again for each cycle, so that a rotated one needs no restart.
    """

    def __init__(self, config: Config, *, clock: SystemClock, log: EventLog | None = None) -> None:
        """``log``: this is a daemon, which notifies the receivers of the configuration, and logs where it cannot."""
        self._config = config
        self.clock = self._clock = clock
        self._stuck_after: tuple[Schedule, float] | None = None
        self._stores: dict[str, Store] = {}
        self._credentials = Credentials(config, self._stores)
        self._build_stores(config, kept={})
        self._late = GraceClock(clock)
        self._remembered = Remembered(config, self._late)
        self._notifications = Notifications(config, self._credentials, self._late, log)
        self._rejected: Warned | None = None
        self.config_rejected = False
        """Whether a newer edit was rejected: then no orphan is derived, since Pages may only seem to be missing."""
        self._log = log
        self._web_token: Secret | CredentialError | None = None
        self._source: GraphSource | None = None

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._config

    @property
    def stores(self) -> Mapping[str, Store]:
        """The stores by their names."""
        return self._stores

    @property
    def progress(self) -> int:
        """The number of requests so far; it changes while a cycle advances, also from one cycle to the next."""
        requests = self._source.requests if self._source is not None else 0
        return requests + sum(store.requests for store in list(self._stores.values()))

    @property
    def stuck_after(self) -> float:
        """The seconds after which a running cycle that does not advance is stuck; computed once for a schedule."""
        schedule = self._config.settings.schedule
        if self._stuck_after is None or self._stuck_after[0] is not schedule:
            self._stuck_after = (schedule, stuck_after(schedule, now=self._clock.now()).total_seconds())
        return self._stuck_after[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def configure(self, config: Config) -> None:
        """Set another configuration in force, while no cycle runs.

        What is remembered stays, and stores whose settings are the same keep their logins, except where the instance is another.
        """
        old = self._config
        before, after = old.settings.stores, config.settings.stores
        # The instance may be a part of what a store lists.
        same_instance = old.settings.instance == config.settings.instance
        kept = {
            name: store for name, store in self._stores.items() if same_instance and before[name] == after.get(name)
        }
        closed = [store for name, store in self._stores.items() if name not in kept]
        # Where a store cannot be built, everything stays as it is.
        self._build_stores(config, kept)
        self._config = config
        self._credentials.configure(config)
        remembered = self._remembered
        if same_instance:
            remembered.configure(old, config)
        else:
            self._remembered = Remembered(config, self._late)
        for store in closed:
            store.close()
        self._notifications.configure(old, config)
        self._rejected = None
        if remembered.memory is not None:
            self._report_configuration(remembered, remembered.memory, old.settings.instance)

    def reject(self, message: str, remedy: str) -> None:
        """Notify the receivers that an edit was rejected, while no cycle runs; its lines are in the log already."""
        self._rejected = rejected(message, remedy)
        memory = self._remembered.memory or self._remembered.load()
        self._report_configuration(self._remembered, memory, self._config.settings.instance)

    def _report_configuration(self, remembered: Remembered, memory: Memory, instance: str) -> None:
        """Log and notify that a rejected configuration begins or has ended for an instance, and remember it there."""
        now = self._clock.now()
        changed = config_changes(memory.reported, self._rejected, now)
        memory = replace(memory, reported=changed.reported)
        if not changed.is_news:
            remembered.memory = memory
            return
        for event in cause_events(replace(changed, began=()), now):
            if self._log is not None:
                self._log.write(event)
        name = str(ULID())
        self._notifications.send(lambda topics: config_messages(changed, topics, name=name, instance=instance, now=now))
        remembered.keep(memory)

    def send_tests(self) -> Sequence[tuple[Receiver, Delivery]]:
        """Send a test message to each receiver of notifications, and return what came of it."""
        self._credentials.begin(writes=False)
        message = test_message(self._config.settings.instance, self._clock.now())
        return list(send_tests(self._config, self._credentials, message, self._clock.stop))

    def _build_stores(self, config: Config, kept: Mapping[str, Store]) -> None:
        """Build the stores that are not kept. References to credentials go through the same mapping, whatever is in it."""
        built = {
            name: kept[name] if name in kept else build_store(name, config.settings, self._credentials, self._clock)
            for name in config.settings.stores
        }
        self._stores.clear()
        self._stores.update(built)

    def close(self) -> None:
        """Close the stores' connections, and end the logins that they made. Notifications get two seconds."""
        self._notifications.close()
        for store in self._stores.values():
            store.close()

    def cycle(
        self,
        *,
        write: bool,
        cycle: str | None = None,
        selection: Selected | None = None,
        if_plan: str | None = None,
        continuous: bool = False,
    ) -> Report:
        """Run one cycle, over the whole configuration or a selection of it; without ``write`` it stops after the plan.

        ``if_plan`` is the checksum of the only plan that may be carried out; that plan is exempt from the brake.
        ``continuous``: another cycle of this process follows, and remembers this one; a selection of it is a check between two
        cycles, whose report is of these Pages alone. Once something is written, shutdown
        does not end the cycle before what was done is remembered and reported.
        """
        started_at, started = self._clock.now(), self._clock.elapsed()
        report = self._cycle(write=write, cycle=cycle, selection=selection, if_plan=if_plan, continuous=continuous)
        # From the first credential that is read to the saved state: each of them may wait for a timeout.
        duration = self._clock.elapsed() - started
        frame = replace(report.frame, started_at=started_at, finished_at=self._clock.now(), duration_seconds=duration)
        return replace(report, frame=frame)

    def begin(self, *, writes: bool) -> Mapping[str, Store]:
        """Begin a command that works on the stores without a cycle, and return them."""
        self._credentials.begin(writes=writes)
        for name, store in self._stores.items():
            if name not in self._credentials.begun:
                self._credentials.begun.add(name)
                store.begin(writes=writes)
        return self._stores

    def _cycle(
        self, *, write: bool, cycle: str | None, selection: Selected | None, if_plan: str | None, continuous: bool
    ) -> Report:
        self._credentials.begin(writes=write and self._config.settings.mode == "sync")
        if continuous and self._config.settings.web.token is not None:
            self._web_token = self._credentials.read(self._config.settings.web.token)
        memory = self._remembered.current()
        with self._graph(memory) as source:
            self._source = source
            with uncollected():
                report, after = run(
                    self._task(source, memory, selection, continuous=continuous),
                    write=write,
                    cycle=cycle,
                    if_plan=if_plan,
                )
            if write:
                return self._remembered.keep_cycle(memory, after, report, continuous=continuous)
            self._remembered.memory = after
            return report

    def look(self, selection: Selected, assume: Callable[[Current], Current] = dict) -> Plan:
        """Read selected Pages and their secrets, and return what the next cycle would decide; write nothing.

        ``assume`` changes what was read, to find out what would follow.
        """
        self._credentials.begin(writes=False)
        memory = self._remembered.load()
        with self._graph(memory, most=_LOOK_TIMEOUT) as source, uncollected():
            task = self._task(source, memory, selection, continuous=False)
            used = {key.store for page in selection.pages for key in page.targets}
            stores = {name: store for name, store in task.stores.items() if name in used}
            return look(replace(task, stores=stores, orphans=False), assume)

    @contextmanager
    def graph(self) -> Iterator[GraphSource]:
        """Provide Graph for a command that a person waits for and that is no cycle; nothing of it is remembered."""
        self._credentials.begin(writes=False)
        with self._graph(self._remembered.load(), most=_LOOK_TIMEOUT) as source:
            yield source

    @property
    def web_token(self) -> Secret | CredentialError | None:
        """The token with which apps ask for checks; None where none is configured.

        Stores are read during cycles alone, so that a token in a store is the one that the last cycle read.
        """
        reference = self._config.settings.web.token
        if reference is None:
            return None
        return self._web_token if isinstance(reference, StoreReference) else self._credentials.read(reference)

    def examine(self, selection: Selected | None = None) -> Sequence[Finding]:
        """Examine each dependency of the configuration, or of a selection of its Pages; nothing is written.

        What Meta says of the system users is asked now, and not remembered.
        """
        self._credentials.begin(writes=False)
        memory = self._remembered.load()
        settings, pages = self._config.settings, self._config.pages if selection is None else selection.pages
        wanted = uses(settings, pages)
        with self._graph(replace(memory, judged={})) as source:
            for store in self._stores.values():
                store.begin(writes=False)
            return Examination(
                config=self._config,
                pages=pages,
                users=list(
                    settings.system_users if selection is None else dict.fromkeys(page.system_user for page in pages)
                ),
                source=source,
                stores={name: store for name, store in self._stores.items() if selection is None or wanted[name]},
                read=self._credentials.read,
                state_warning=self._remembered.warning,
                proven=memory.valid_within(settings.verify_every, self._clock.now()),
                clock=self._clock,
            ).run()

    def has_page(self, name: str) -> bool:
        """Check whether the configuration has a Page of this name."""
        return any(page.name == name for page in self._config.pages)

    def quota_closed_until(self, name: str) -> datetime | None:
        """Return until when the quota of a Page's app lets no token be judged; None where it lets some."""
        memory, now = self._remembered.memory, self._clock.now()
        page = next((page for page in self._config.pages if page.name == name), None)
        if memory is None or page is None:
            return None
        allowed = allowance(memory.pools.get(QuotaKey(page.app_id), Pool()), self._config.settings.graph.budget, now)
        return allowed.next_allowed_at if allowed.urgent == 0 else None

    def check(self, names: Collection[str], *, cycle: str) -> Report | None:
        """Check the configured ones among these Pages between two cycles, and heal them; None where none is configured."""
        pages = self._config.pages
        chosen = tuple(page for page in pages if page.name in names)
        if not chosen:
            return None
        selection = Selected(chosen, frozenset(key for page in pages for key in page.targets))
        return self.cycle(write=True, cycle=cycle, selection=selection, continuous=True)

    def announce(self, report: Report, *, is_check: bool = False) -> None:
        """Notify the receivers of what a cycle or a check changed, by threads of their own; waits for none of them."""
        self._notifications.announce(report, is_check=is_check)

    def beat(self, report: Report) -> Report:
        """Call the heartbeat for the only cycle of a process; where that fails, the report that is returned warns of it."""
        failed = report.result in ("failed", "held")
        why = beat(self._config, self._credentials, self._clock.stop, failed=failed)
        if not why:
            return report
        text = f"The heartbeat was not called: {why}."
        return replace(report, frame=replace(report.frame, warnings=(*report.frame.warnings, text)))

    def failed(self) -> None:
        """Report to the heartbeat that a cycle ended by a bug of this program."""
        self._notifications.failed()

    def logged(self) -> None:
        """Remember that the report of the last cycle is in the log."""
        self._remembered.logged()

    def _graph(self, memory: Memory, *, most: float | None = None) -> AbstractContextManager[GraphSource]:
        return graph_source(self._config, self._credentials, self._clock, memory, most=most)

    def _task(self, source: GraphSource, memory: Memory, selection: Selected | None, *, continuous: bool) -> Task:
        config, settings = self._config, self._config.settings
        pages = config.pages if selection is None else selection.pages
        used = {key.store for page in pages for key in page.targets}
        is_check = selection is not None and continuous
        # The first cycle reports the warning of reading the file; each later one that of the last writing.
        state = (self._remembered.warning,) if self._remembered.warning else ()
        unreadable = isinstance(self._web_token, CredentialError)
        web = (
            (f"web.token could not be read, so that apps cannot ask for checks: {self._web_token}",)
            if unreadable
            else ()
        )
        return Task(
            instance=settings.instance,
            pages=pages,
            source=source,
            stores={name: store for name, store in self._stores.items() if name in used or not is_check},
            clock=self._clock,
            memory=memory,
            rhythm=Rhythm(verify_every(settings, config.pages, memory.pools)),
            probe_every=probe_after(settings),
            brake=Brake(settings.brake.share, settings.brake.min_changes),
            observe=settings.mode == "observe",
            confirm_mass_invalid=not continuous or is_check,
            is_check=is_check,
            selected_from=None if selection is None else selection.named,
            in_other_stores=in_other_stores(settings, config.pages),
            renewal_rules=renewal_rules(settings),
            begun=self._credentials.begun,
            orphans=not self.config_rejected,
            rejected=self._rejected,
            needs_state_file=needs_state_file(settings, config.pages),
            warnings=(*config.warnings, *state, *web),
        )


def build(config: Config, *, clock: SystemClock, log: EventLog | None = None) -> App:
    """Build what a configuration describes; nothing is read or connected before the first cycle. ``log`` is a daemon's."""
    return App(config, clock=clock, log=log)

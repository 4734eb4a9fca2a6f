"""The closed lists of words that reports use, with what each means: for tables, for ``explain`` and for the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_NOTHING = "Nothing needs to be done."


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a closed list: ``short`` fits into a table's line, ``meaning`` is a sentence, ``remedy`` what a person does."""

    short: str
    meaning: str
    remedy: str = _NOTHING

    @property
    def owner(self) -> str:
        """Who acts: whoever runs this program, where there is something to do."""
        return "nobody" if self.remedy == _NOTHING else "operator"


def action_text(owner: str, remedy: str) -> str:
    """Return who must act and how, as one sentence after a label."""
    return f"{'No action needed' if owner == 'nobody' else f'Action required ({owner})'}: {remedy}"


REASONS: Mapping[str, Word] = {
    "recreated": Word(
        "its newest version was deleted",
        "The newest version of the secret was deleted or destroyed by somebody, so a new one is written.",
        "Find out who deleted it; take the Page out of the configuration if its secret is not wanted.",
    ),
    "repair": Word("no token in the secret", "The secret is ours, but its payload cannot be read or holds no token."),
    "heal": Word(
        "the stored token is dead",
        "Meta calls the stored token invalid, or it is of a wrong type, app or Page; a proven one takes its place.",
    ),
    "rotate": Word(
        "a better token is there",
        "The stored token works, but lacks a wanted permission, ends soon, or came from an earlier system user token.",
    ),
    "marked": Word(
        "ours, left without a mark",
        "The secret is one of ours that was left unmarked when this program was ended between its two steps.",
    ),
    "payload": Word(
        "payload not as configured", "The token stays; the payload around it is brought to what the configuration says."
    ),
    "labels": Word(
        "labels not as configured", "The token stays; the labels are brought to what the configuration says."
    ),
    "marks": Word("marks not as configured", "The token stays; our marks beside it are brought up to date."),
    "hold": Word(
        "hold is set for this Page",
        "The configuration says hold: true for this Page, so that it is judged, and nothing is written.",
        "Take hold away when the Page may be written again.",
    ),
    "observe": Word(
        "mode is observe",
        "The configuration says mode: observe, so that everything is judged, and nothing is written.",
        "Set mode: sync when this instance may write.",
    ),
    "brake": Word(
        "too many would change at once",
        "More tokens of this store that still work would be replaced within 24 hours than brake.share and brake.min_changes allow.",
        "Look at the plan. If the change is wanted, run the command that the report prints: once --if-plan SUM.",
    ),
    "invalid-once": Word(
        "Meta must say it twice",
        "Meta calls so many tokens of this store invalid at once that it must say so a second time before they are replaced.",
    ),
    "proof-lost": Word(
        "Meta took its word back",
        "Just before the write Meta was asked again and did not call the new token valid any more, so nothing was written.",
    ),
    "another-plan": Word(
        "another plan was let through",
        "`--if-plan` named another plan than this one, so nothing was written; look at the plan as it is now.",
    ),
    "shutdown": Word(
        "shutdown came before its turn",
        "Shutdown was asked for before the write was begun, so nothing was written; the next start decides again.",
    ),
}
"""Why something is done, held or left, by the report's word."""

ACTIONS: Mapping[str, Word] = {
    "created": Word("", "There was no secret, and one was written."),
    "updated": Word("", "The token stays; what stands around it or beside it was brought up to date."),
    "replaced": Word("", "Another, proven token took the place of the stored one."),
    "unchanged": Word("", "All is as it should be; no write call was made."),
    "kept": Word(
        "",
        "Nothing was written: no new token could be proven, or the stored one is as good.",
        "See the problems of the line, where it has any.",
    ),
    "refused": Word(
        "",
        "The place is not ours to write, so that nothing was.",
        "See the problem of the line: it says whose the secret is, and what to do.",
    ),
    "held": Word(
        "",
        "A write is due and was held back; the reason says by what, and would says what it would be.",
        "See the reason: hold, observe or brake.",
    ),
    "failed": Word(
        "", "The store could not be read or written.", "See the problem of the line: it names the cause and the remedy."
    ),
}
"""What was done at a place; in a plan, what would be."""

SERVED: Mapping[str, Word] = {
    "verified": Word("", "Meta's last word on the stored token is valid, and young enough to count."),
    "stale": Word(
        "",
        "Nothing certain is known of the stored token at this moment; verified_at says when it last was.",
        "See the problems: a store or Graph could not be asked, or an app's credentials are refused.",
    ),
    "broken": Word(
        "",
        "Meta calls the stored token invalid, or it is of a wrong type, app or Page, or our secret holds no token.",
        "Healed by itself as soon as a token can be proven; see the problems where it stays.",
    ),
    "absent": Word(
        "", "Applications find no secret here.", "Created by itself as soon as a token can be proven; see the problems."
    ),
    "foreign": Word(
        "",
        "The secret is not under our mark, or another program rules it, so that it is neither judged nor written.",
        "Move it away, or choose another path for this Page.",
    ),
}
"""What applications are served at a place."""

EXITS: Mapping[str, Word] = {
    "0": Word("ok", "Every Page and store is verified, none has a problem, and nothing failed or was refused."),
    "1": Word(
        "degraded",
        "Something has a problem, or a plan found something to do.",
        "Read the report: each problem names who acts and what to do.",
    ),
    "2": Word(
        "wrong usage or configuration",
        "The command line or the configuration is wrong, and nothing was done.",
        "Each error says where it stands and what would be right; page-token-sync validate shows them all.",
    ),
    "3": Word(
        "failed",
        "Not one token could be judged or not one store reached, or the command could not do its work at all.",
        "Check the credentials and the way to Graph and to the stores; the report's problems name them.",
    ),
    "4": Word(
        "held",
        "The brake held writes, or the plan is no longer the one that --if-plan names.",
        "Look at page-token-sync plan, and let the changes through with once --if-plan SUM if they are wanted.",
    ),
    "130": Word("interrupted", "The command was interrupted; what was written stays written."),
}
"""What a command's exit code means; ``short`` is the report's ``result`` where there is one."""

STORE_FAILURES: Mapping[str, Word] = {
    "conflict": Word(
        "", "Somebody else wrote the secret between our reading and our writing; nothing was overwritten."
    ),
    "unreachable": Word("", "No connection to the store could be made.", "Check its address and the way to it."),
    "timeout": Word("", "The store did not answer in time.", "Check its load, or lengthen the store's timeout."),
    "tls": Word("", "The store's certificate is not trusted or not its own.", "Check the address and ca_file."),
    "sealed": Word("", "Vault is sealed or not initialised.", "Unseal it."),
    "no-leader": Word("", "The Vault cluster has no active node at this moment.", "If it lasts, look at the cluster."),
    "login-refused": Word("", "Vault refused our login.", "Check auth, and the role or token that it names."),
    "credentials": Word(
        "", "A credential for the store could not be had or is refused.", "Check the reference that the message names."
    ),
    "denied": Word(
        "", "The store's policy does not allow what was asked.", "Give the permission that the message names."
    ),
    "no-mount": Word("", "Vault has no secrets engine at this mount.", "Check the store's mount."),
    "kv-v1": Word(
        "",
        "The mount is KV version 1, which can neither compare before it writes nor keep what was there.",
        "Use a mount of KV version 2.",
    ),
    "not-vault": Word("", "What answers at the address is no Vault.", "Check the address, and a proxy on the way."),
    "namespace": Word("", "Vault knows no such namespace.", "Check the store's namespace."),
    "throttled": Word("", "The store allows no more requests at this moment; it is asked again in the next cycle."),
    "quota": Word("", "A quota of the store is used up.", "Raise the quota that the message names."),
    "kms": Word("", "The secret's KMS key cannot be used.", "Check the key, its policy and its region."),
    "clock": Word("", "This machine's clock is too wrong for AWS.", "Set the clock, and keep it set."),
    "locked": Word("", "Another process holds the lock of the directory.", "If it lasts, find out which one does."),
    "disk": Word("", "The disk is full, read-only or broken.", "Make room, or let the directory be written to."),
    "refused-path": Word(
        "",
        "A link, a device or another user's file stands at the place.",
        "Put the directory right; it is not followed.",
    ),
    "unreadable": Word("", "What the store holds at the place cannot be read.", "Look at what is there."),
    "unexpected": Word(
        "", "The store gave an answer that this version does not know.", "If it lasts, report it with the message."
    ),
}
"""Why a store failed, the word under ``error``; the problem of the line knows more of the case."""

FAILURES: Mapping[str, Word] = {
    "usage": Word("", "The command line is wrong, and nothing was done.", "See --help of the command."),
    "selection": Word(
        "",
        "What --page, --label or --store choose is not there, and nothing was done.",
        "Mend the option that the message names.",
    ),
    "interrupted": Word("", "The command was interrupted before it had a report; what was written stays written."),
    "unknown-code": Word("", "explain knows no such code.", "List them all: page-token-sync explain."),
    "address": Word(
        "", "The sandbox cannot listen at this address.", "Stop what listens there, or give another --listen."
    ),
    "demo": Word("", "The demonstration can have no folder or no port.", "Make room, or set TMPDIR to another folder."),
}
"""Why a command gives no report, beside what is wrong with a configuration."""

"""The closed lists of words in reports, each with its meaning: for tables, for ``explain`` and for the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sync.core.problems import NO_ACTION


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a closed list: ``short`` fits into a table's line, ``meaning`` is a sentence, ``remedy`` what a person does."""

    short: str
    meaning: str
    remedy: str = NO_ACTION

    @property
    def owner(self) -> str:
        """Who must act: whoever runs this program, where there is something to do."""
        return "nobody" if self.remedy == NO_ACTION else "operator"


REASONS: Mapping[str, Word] = {
    "recreated": Word(
        "its newest version was deleted",
        "The newest version of the secret was deleted or destroyed by someone else, so a new one is written.",
        "Find out who deleted it. If its secret is not wanted, remove the Page from the configuration.",
    ),
    "repair": Word(
        "no token in the secret",
        "The secret has this instance's mark, but its payload cannot be read or holds no token.",
    ),
    "heal": Word(
        "the stored token is invalid",
        "debug_token calls the stored token invalid, or of a wrong type, app or Page; a verified token replaces it.",
    ),
    "rotate": Word(
        "a better token is available",
        "The stored token works, but lacks a required permission, expires soon, came from an earlier system user token, or hangs "
        "on somebody else than the system user.",
    ),
    "marked": Word(
        "a write was cut off before its mark",
        "A run of this program was killed between writing the secret and marking it; the mark is added now.",
    ),
    "payload": Word(
        "payload differs", "The token stays; the payload around it is changed to what the configuration says."
    ),
    "labels": Word("labels differ", "The token stays; the labels are changed to what the configuration says."),
    "marks": Word("marks differ", "The token stays; the marks beside it are brought up to date."),
    "hold": Word(
        "hold is set for this Page",
        "The configuration has hold: true for this Page, so it is judged and nothing is written.",
        "Remove hold when the Page may be written again.",
    ),
    "rollback": Word(
        "held since a rollback",
        "A person made an earlier version of this secret current again by rollback, so it is judged and nothing is written.",
        "When the secret may be written again: page-token-sync rollback PAGE --store STORE --release.",
    ),
    "observe": Word(
        "mode is observe",
        "The configuration has mode: observe, so everything is judged and nothing is written.",
        "Set mode: sync when this instance may write.",
    ),
    "brake": Word(
        "too many would change at once",
        "More working tokens of this store would be replaced within 24 hours than brake.share and brake.min_changes allow.",
        "Look at the plan. If the changes are wanted, run the command that the report prints: once --if-plan SUM.",
    ),
    "weaker": Word(
        "the new token is weaker",
        "A better token is due, but it lacks a permission for the Page that the stored one has, or expires sooner.",
        "Look at the plan. Generate the system user token with the permissions that are missing, or, if the loss is wanted, "
        "run the command that the report prints: once --if-plan SUM.",
    ),
    "absent": Word(
        "there is no secret",
        "The store has no secret of this Page that adopt or rollback could work on.",
        "The next cycle creates it.",
    ),
    "another-instance": Word(
        "it belongs to another instance",
        "The secret has the mark of another instance, and adopt --all leaves it to that one.",
        "Adopt it by the name of its Page, once the other instance does not use it any more.",
    ),
    "no-token": Word(
        "no token where the payload has it",
        "The secret, or the version that is to be current again, holds no access token of Meta, so there is nothing to prove.",
        "For adopt, set payload to the keys that the secret has; for rollback, choose another version. See the message.",
    ),
    "no-version": Word(
        "no earlier version",
        "The store keeps no earlier version of the secret with another token, so rollback has nothing to go back to.",
        "If the current token does not work, run once for the Page, which replaces it. How many versions are kept is up to the store: "
        "max_versions in Vault and OpenBao, the previous one on AWS, none in files.",
    ),
    "unclear-version": Word(
        "the wanted version is not known",
        "A rollback holds the secret, and its marks do not say which version it wanted, so rollback changes nothing.",
        "Name the version with --version.",
    ),
    "unproven": Word(
        "Meta was not asked",
        "The app's quota did not allow to ask debug_token about the token now, so nothing is written.",
        "Run the command again within the hour.",
    ),
    "replicated": Word(
        "AWS replicates the secret",
        "AWS deletes no secret that is replicated to other Regions, so prune keeps it.",
        "Remove the replicas with aws secretsmanager remove-regions-from-replication, and run prune again.",
    ),
    "not-replaced": Word(
        "the Page has no new secret yet",
        "The secret is an orphan, but the one that the configuration names for its Page now holds no token, so prune keeps it.",
        "Run once for the Page, let applications read the new secret, and run prune again.",
    ),
    "invalid-once": Word(
        "waiting for a second confirmation",
        "debug_token calls so many tokens of this store invalid at once that it must say so twice before they are replaced.",
    ),
    "proof-lost": Word(
        "the token was not confirmed again",
        "debug_token was to confirm the token once more just before the write and did not, so nothing was written. "
        "The next cycle decides again.",
    ),
    "another-plan": Word(
        "--if-plan names another plan",
        "--if-plan names another plan than this one, so nothing was written.",
        "Look at the plan as it is now, and run once --if-plan SUM with its checksum.",
    ),
    "shutdown": Word(
        "shutdown before the write",
        "Shutdown came before this write began, so nothing was written. The next start decides again.",
    ),
}
"""Why something is written, held or kept, by the report's word."""

ACTIONS: Mapping[str, Word] = {
    "created": Word("", "There was no secret, and one was written."),
    "updated": Word("", "The token stays; the payload around it or the marks and labels beside it were updated."),
    "replaced": Word("", "A verified token replaced the stored one."),
    "unchanged": Word("", "The secret is as it should be; no write call was made."),
    "kept": Word(
        "",
        "Nothing was written, because there is no new verified token, or because the stored token is just as good.",
        "If the line has a problem, do what its remedy says.",
    ),
    "refused": Word(
        "",
        "The secret belongs to someone else or its store blocks writes, so nothing was written.",
        "See the problem of the line, which says whose the secret is and what to do.",
    ),
    "held": Word(
        "",
        "A write is due and is held; the reason says why, and would says what it would be.",
        "See the reason: hold, observe, rollback, brake, weaker or another-plan.",
    ),
    "failed": Word(
        "",
        "The secret could not be read or written.",
        "See the problem of the line, which has the cause and the remedy.",
    ),
}
"""What was done to a secret; in a plan, what would be done."""

SERVED: Mapping[str, Word] = {
    "verified": Word("", "The last answer of debug_token for the stored token is valid, and recent enough to count."),
    "stale": Word(
        "",
        "The stored token could not be verified recently; verified_at says when it last was.",
        "See the problems: a store or Graph could not be asked, or an app's credentials are refused.",
    ),
    "broken": Word(
        "",
        "debug_token calls the stored token invalid, or of a wrong type, app or Page, or the secret holds no token.",
        "It is replaced as soon as a token can be verified. If it stays, see the problems.",
    ),
    "absent": Word(
        "",
        "Applications find no secret here.",
        "It is created as soon as a token can be verified. If it stays, see the problems.",
    ),
    "foreign": Word(
        "",
        "The secret does not have this instance's mark, or another program controls it; it is neither judged nor written.",
        "Take it over with page-token-sync adopt, move it away, or choose another path for this Page.",
    ),
}
"""What applications are served by a secret."""

EXITS: Mapping[str, Word] = {
    "0": Word("ok", "Every Page and store is verified, none has a problem, and nothing failed or was refused."),
    "1": Word(
        "degraded",
        "Something has a problem, or a plan found something to do.",
        "Read the report: each problem says who must act and what to do.",
    ),
    "2": Word(
        "wrong usage or configuration",
        "The command line or the configuration is wrong, and nothing was done.",
        "Each error has its location and what would be right; page-token-sync validate shows all of them.",
    ),
    "3": Word(
        "failed",
        "No token could be judged or no store reached, or the command could not do its work at all.",
        "Check the credentials and the network path to Graph and to the stores; the report's problems name them.",
    ),
    "4": Word(
        "held",
        "The brake held writes, new tokens are weaker than the stored ones, or the plan is no longer the one that --if-plan names.",
        "Look at page-token-sync plan. If the changes are wanted, run once --if-plan SUM.",
    ),
    "130": Word("interrupted", "The command was interrupted. What was written stays written."),
}
"""What a command's exit code means; ``short`` is the report's ``result`` where there is one."""

STORE_FAILURES: Mapping[str, Word] = {
    "conflict": Word(
        "", "Someone else wrote the secret between this program's read and write; nothing was overwritten."
    ),
    "unreachable": Word(
        "", "No connection to the store could be made.", "Check its address and the network path to it."
    ),
    "timeout": Word("", "The store did not answer in time.", "Check its load, or lengthen the store's timeout."),
    "tls": Word(
        "", "The store's certificate is not trusted or is not for this host.", "Check the address and ca_file."
    ),
    "sealed": Word("", "Vault is sealed or not initialised.", "Unseal it."),
    "no-leader": Word("", "The Vault cluster has no active node.", "If it lasts, check the cluster."),
    "login-refused": Word("", "Vault refused the login.", "Check auth, and the role or token that it names."),
    "credentials": Word(
        "", "A credential for the store could not be read or is refused.", "Check the reference that the message names."
    ),
    "denied": Word(
        "", "The store's policy does not allow what was asked.", "Grant the permission that the message names."
    ),
    "no-mount": Word("", "Vault has no secrets engine at this mount.", "Check the store's mount."),
    "kv-v1": Word(
        "", "The mount is KV version 1, which has no compare-and-set and no history.", "Use a mount of KV version 2."
    ),
    "no-patch": Word(
        "",
        "Vault, or a gateway before it, rejects PATCH, by which the marks of a secret are written.",
        "Use Vault 1.10 or later, or OpenBao, and allow PATCH in every gateway before it.",
    ),
    "not-vault": Word("", "The server at the address is not Vault.", "Check the address, and any proxy on the way."),
    "namespace": Word("", "Vault has no such namespace.", "Check the store's namespace."),
    "throttled": Word("", "The store limits requests; it is asked again in the next cycle."),
    "quota": Word("", "A quota of the store is used up.", "Raise the quota that the message names."),
    "kms": Word("", "The secret's KMS key cannot be used.", "Check the key, its policy and its region."),
    "clock": Word(
        "",
        "The clock skew between this machine and AWS is too large.",
        "Set the clock, and keep it synchronised by NTP.",
    ),
    "locked": Word("", "Another process holds the lock of the directory.", "If it lasts, find out which process does."),
    "disk": Word("", "The disk is full, read-only or broken.", "Free space, or make the directory writable."),
    "refused-path": Word(
        "",
        "The path is a link, a device or another user's file, which is not followed.",
        "Remove it, or choose another directory.",
    ),
    "unreadable": Word("", "What the store holds at the path cannot be read.", "Look at what is stored there."),
    "unexpected": Word(
        "", "The store gave an answer that this version does not know.", "If it lasts, report it with the message."
    ),
}
"""Why a store failed: the report's ``error_code``. The problem of the line says more about the case."""

FAILURES: Mapping[str, Word] = {
    "usage": Word("", "The command line is wrong, and nothing was done.", "See --help of the command."),
    "selection": Word(
        "",
        "--page, --label or --store select nothing, and nothing was done.",
        "Correct the option that the message names.",
    ),
    "interrupted": Word("", "The command was interrupted before it had a report. What was written stays written."),
    "unknown-code": Word("", "explain does not know this code.", "List all codes: page-token-sync explain."),
    "address": Word(
        "",
        "The daemon or the sandbox cannot listen on this address.",
        "Stop the program that listens there, or use another --listen.",
    ),
    "daemon": Word(
        "",
        "No daemon answers at this address, or it has no report yet.",
        "Start it with run, or name the address that it listens on: status --listen.",
    ),
    "no-receivers": Word(
        "", "notify --test found no receiver of notifications.", "Add one under notify in the configuration."
    ),
    "not-written": Word(
        "",
        "init cannot write the configuration or the policy there.",
        "Choose another FILE, or make its folder writable.",
    ),
    "demo": Word("", "The demo cannot create a folder or open a port.", "Free space, or set TMPDIR to another folder."),
}
"""Why a command gives no report, apart from errors in the configuration."""

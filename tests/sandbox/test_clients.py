"""Common clients, unchanged, against the sandbox: curl, Meta's SDK, python-facebook-api."""

import json
import os
import shutil
import subprocess

import pyfacebook
import pytest
from facebook_business.adobjects.page import Page
from facebook_business.adobjects.user import User
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

from sync.sandbox.api.states import switch_on
from tests.support.services.graph import sandbox

__all__ = ["sandbox"]

CURL = shutil.which("curl")


def curl(*arguments, sent=""):
    """Run curl without a configuration file, and return its output."""
    command = [CURL, "-q", "--silent", "--show-error", "--noproxy", "*", "--max-time", "10", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, input=sent, env={"PATH": os.environ["PATH"]}
    ).stdout


@pytest.mark.skipif(CURL is None, reason="CURL IS MISSING: the sandbox was not tried with it (apt-get install curl)")
class TestCurl:
    """Commands as Meta's documentation shows them."""

    def test_a_page_token_is_read_and_debugged(self, sandbox):
        """The token may be in the query or in the header."""
        page = sandbox.pages[0]["id"]
        query = f"fields=access_token&access_token={sandbox.system_user_token}"
        token = json.loads(curl(f"{sandbox.url}/v25.0/{page}?{query}"))["access_token"]
        app = f"Authorization: Bearer {sandbox.app_id}|{sandbox.app_secret}"
        facts = json.loads(curl("-H", app, f"{sandbox.url}/v25.0/debug_token?input_token={token}"))["data"]
        assert (facts["is_valid"], facts["type"], facts["profile_id"]) == (True, "PAGE", page)

    @pytest.mark.parametrize("option", ["-F", "-d"])
    def test_a_batch_is_sent_as_meta_shows_it(self, sandbox, option):
        """A batch is a multipart or a URL-encoded form."""
        batch = 'batch=[{"method":"GET", "relative_url":"me"},{"method":"GET", "relative_url":"me/accounts?limit=1"}]'
        answer = curl(option, f"access_token={sandbox.system_user_token}", option, batch, f"{sandbox.url}/")
        entries = json.loads(answer)
        assert [entry["code"] for entry in entries] == [200, 200]
        assert len(json.loads(entries[1]["body"])["data"]) == 1

    def test_a_large_form_gets_100_continue(self, sandbox):
        """A body that curl announces with ``Expect: 100-continue`` is requested and answered."""
        answer = curl("-D", "-", "-H", "Expect: 100-continue", "-d", "@-", f"{sandbox.url}/me", sent="x" * 1_500_000)
        assert answer.startswith("HTTP/1.1 100 Continue")
        assert json.loads(answer[answer.index('{"error"') :])["error"]["code"] == 100

    def test_a_drip_is_ended_by_a_total_timeout(self, sandbox):
        """A timeout of the whole call ends a drip, which a timeout of each read does not."""
        switch_on(sandbox.world, "drip-body")
        with pytest.raises(subprocess.CalledProcessError) as failure:
            curl("--max-time", "0.3", f"{sandbox.url}/me")
        assert failure.value.returncode == 28


@pytest.fixture
def api(sandbox, monkeypatch):
    """Point Meta's SDK at the sandbox, with the app's secret, so that it sends proofs."""
    monkeypatch.setattr(FacebookSession, "GRAPH", sandbox.url)
    sandbox.world.require_proof = True
    return FacebookAdsApi.init(sandbox.app_id, sandbox.app_secret, sandbox.system_user_token, crash_log=False)


class TestMetasOwnSdk:
    """The package facebook-business."""

    def test_a_page_token_is_read(self, sandbox, api):
        """The SDK's path ends in a slash, and its proof is valid."""
        page = Page(sandbox.pages[0]["id"], api=api).api_get(fields=["access_token", "name"])
        assert page["access_token"].startswith("EAA")
        assert page["name"] == "berlin"

    def test_pages_are_listed_by_cursor(self, sandbox, api):
        """The SDK follows the cursor while there is a ``next``."""
        listed = User("me", api=api).get_accounts(fields=["id", "access_token"], params={"limit": 2})
        assert {page["id"] for page in listed} == {page["id"] for page in sandbox.pages}

    def test_a_batch_calls_back_for_each_item(self, sandbox, api):
        """Successes and failures each reach their callback; items that are ``null`` can be retried."""
        switch_on(sandbox.world, "null-items@paris*1")
        good, bad = [], []
        batch = api.new_batch()
        for node in [*(page["id"] for page in sandbox.pages), "nobody"]:
            batch.add("GET", (node,), {"fields": "access_token"}, success=good.append, failure=bad.append)
        again = batch.execute()
        assert [answer.json()["id"] for answer in good] == [
            page["id"] for page in sandbox.pages if page["name"] != "paris"
        ]
        assert bad[0].error().api_error_code() == 803
        assert len(again) == 1
        assert again.execute() is None
        assert len(good) == 5

    def test_an_error_has_its_code_and_subcode(self, sandbox, api):
        """The SDK reads code and subcode of an error."""
        switch_on(sandbox.world, "unassigned=no-role")
        with pytest.raises(FacebookRequestError) as refused:
            Page(sandbox.pages[0]["id"], api=api).api_get(fields=["access_token"])
        assert (refused.value.api_error_code(), refused.value.api_error_subcode()) == (190, 492)

    def test_a_proof_by_another_secret_is_refused(self, sandbox, monkeypatch):
        """The SDK with a wrong app secret gets Meta's message."""
        monkeypatch.setattr(FacebookSession, "GRAPH", sandbox.url)
        wrong = FacebookAdsApi.init(sandbox.app_id, "0" * 32, sandbox.system_user_token, crash_log=False)
        with pytest.raises(FacebookRequestError) as refused:
            Page(sandbox.pages[0]["id"], api=wrong).api_get(fields=["id"])
        assert refused.value.api_error_message() == "Invalid appsecret_proof provided in the API argument"


class TestPythonFacebookApi:
    """The package python-facebook-api."""

    @pytest.fixture
    def graph(self, sandbox):
        """Return a client, which sends proofs with most calls."""
        return pyfacebook.GraphAPI(
            app_id=sandbox.app_id,
            app_secret=sandbox.app_secret,
            access_token=sandbox.system_user_token,
            base_url=f"{sandbox.url}/",
            access_token_url=f"{sandbox.url}/oauth/access_token",
        )

    def test_a_page_token_is_exchanged_and_debugged(self, sandbox, graph):
        """``exchange_page_access_token`` and ``debug_token`` with an app token from ``get_app_token``."""
        page = sandbox.pages[0]["id"]
        token = graph.exchange_page_access_token(page)
        facts = graph.debug_token(token, access_token=graph.get_app_token()["access_token"])["data"]
        assert (facts["is_valid"], facts["type"], facts["profile_id"]) == (True, "PAGE", page)

    def test_a_call_without_a_proof_fails_where_one_is_required(self, sandbox, graph):
        """The client's exchange sends no proof, to Meta either."""
        sandbox.world.require_proof = True
        with pytest.raises(pyfacebook.FacebookError, match="require an appsecret_proof"):
            graph.exchange_page_access_token(sandbox.pages[0]["id"])
        assert graph.get_object("me")["id"] == sandbox.world.user.id

    def test_a_missing_token_is_an_error_of_the_client(self, sandbox, graph):
        """The client reports a 200 without the field as an error."""
        switch_on(sandbox.world, "unassigned")
        with pytest.raises(pyfacebook.LibraryError):
            graph.exchange_page_access_token(sandbox.pages[0]["id"])

    def test_objects_and_connections_are_read(self, sandbox, graph):
        """Several ids are read in one call, and a listing through all its cursors."""
        ids = [page["id"] for page in sandbox.pages]
        assert list(graph.get_objects(",".join(ids), fields="name")) == ids
        rows = graph.get_full_connections("me", "accounts", count=None, limit=2, fields="id")["data"]
        assert {row["id"] for row in rows} == set(ids)

    def test_a_long_lived_token_is_exchanged(self, sandbox, graph):
        """The exchange returns the new system user token."""
        assert graph.exchange_long_lived_user_access_token()["access_token"] == sandbox.system_user_token

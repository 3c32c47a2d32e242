"""Notices of how runs ended, sent to a real SMTP and a real HTTP server on loopback."""

import email
import email.policy
import logging
import socket
import time

import pytest
from aiosmtpd.controller import Controller
from fixtures import run_records

from stagebook import notify
from stagebook.model.record import RunStatus

ALL = {"on": ["success", "failure", "gate_refused", "interrupted"]}


@pytest.mark.parametrize(
    ("make_record", "kind", "text"),
    [
        (run_records.succeeded, "success", "succeeded"),
        (run_records.failed, "failure", "failed"),
        (run_records.refused, "gate_refused", "the gate refused"),
        (run_records.interrupted, "interrupted", "interrupted"),
    ],
)
def test_each_end_of_a_run_has_its_notice(make_record, kind, text):
    notice = notify.notice_for(make_record(), ALL)
    assert notice is not None
    assert notice.kind == kind
    assert text in notice.title
    assert make_record().run_id in notice.body
    assert notify.notice_for(make_record(), {"on": []}) is None


def test_a_failure_names_the_cell_and_the_command_that_resumes():
    record = run_records.failed()
    record.request = {"runs_dir": "/data/my runs"}
    notice = notify.notice_for(record, ALL, report="/data/my runs/x/report.html")
    assert notice is not None
    assert notice.title == "flightdelay: failed in stage train, cell 7"
    assert "stage train failed in cell 7: ValueError: " in notice.body
    assert f"resume with: stagebook run --runs-dir '/data/my runs' --resume {record.run_id}" in notice.body
    assert notice.body.endswith("report: /data/my runs/x/report.html")
    assert "\x1b" not in notice.body


def test_the_runner_can_pass_the_resume_command():
    notice = notify.notice_for(run_records.interrupted(), ALL, resume_command="runners/run_pipeline.py --resume r7")
    assert notice is not None
    assert "resume with: runners/run_pipeline.py --resume r7" in notice.body


def test_a_refusal_names_only_the_failed_rules_and_no_command():
    notice = notify.notice_for(run_records.refused(), ALL)
    assert notice is not None
    assert "roc_auc is 0.6118, the threshold is 0.62" in notice.body
    assert "baseline" not in notice.body
    assert "resume" not in notice.body


def test_a_hostile_record_gives_a_short_printable_notice():
    record = run_records.hostile()
    notice = notify.notice_for(record, ALL)
    assert notice is not None
    assert notice.title.isprintable()
    assert all(line.isprintable() and len(line) <= 501 for line in notice.body.split("\n"))
    assert len(notice.body.split("\n")) < 30
    record.exit_code = 4
    assert notify.notice_for(record, ALL) is not None


def test_a_run_that_is_still_running_has_no_notice():
    record = run_records.succeeded()
    record.status = RunStatus.RUNNING
    assert notify.notice_for(record, ALL) is None


@pytest.fixture
def mailbox():
    class Box:
        def __init__(self):
            self.mails = []

        async def handle_DATA(self, server, session, envelope):
            self.mails.append((envelope.rcpt_tos, envelope.content.decode()))
            return "250 OK"

    box = Box()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        box.port = probe.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=box.port)
    controller.start()
    yield box
    controller.stop()


NOTICE = notify.Notice("failure", "flightdelay: failed", "stage train failed in cell 3")


def test_a_notice_arrives_by_http_and_by_mail(hook, mailbox):
    urls = [
        f"json://127.0.0.1:{hook.server_port}",
        f"mailto://127.0.0.1:{mailbox.port}?from=runner@example.com&to=team@example.com",
    ]
    assert notify.send(NOTICE, urls, timeout=20) == []
    assert (hook.got[0]["title"], hook.got[0]["message"], hook.got[0]["type"]) == (NOTICE.title, NOTICE.body, "failure")
    [(to, content)] = mailbox.mails
    assert to == ["team@example.com"]
    assert "flightdelay: failed" in content


SECRETS = ["tokn1", "paswd2", "ssw0rd3", "pathy4", "query5", "userk6"]
UNKNOWN = "this is not an address that apprise knows"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("json://userk6:paswd2@127.0.0.1:9/pathy4?+X-Key=query5", "(json://…): it could not be reached"),
        ("mailto://userk6:pa@ssw0rd3@127.0.0.1:9?to=a@example.com", "(mailto://…): it could not be reached"),
        ("pushbullet://o.tokn1", f"(pushbullet://…): {UNKNOWN}"),
        ("slack://tokn1", f"(slack://…): {UNKNOWN}"),
        ("nonsense://tokn1.example.com", f"(nonsense://…): {UNKNOWN}"),
        ("no url but a tokn1", f"(…): {UNKNOWN}"),
        ("https://", f"(https://…): {UNKNOWN}"),
    ],
)
def test_a_problem_is_described_without_secrets(url, problem, caplog, capfd):
    caplog.set_level("DEBUG")
    assert notify.send(NOTICE, [url], timeout=20) == [f"notice 1 of 1 {problem}"]
    output = problem + caplog.text + "".join(capfd.readouterr())
    assert [secret for secret in SECRETS if secret in output] == []


def test_logs_of_these_libraries_are_captured_only_while_a_notice_is_sent():
    notify.send(NOTICE, [], timeout=1)
    logger = logging.getLogger("urllib3.connectionpool")  # the filter is asked directly, since the level is not ours
    assert logger.filter(logger.makeRecord(logger.name, logging.WARNING, __file__, 1, "a user's own request", (), None))


def test_a_refusal_by_the_server_is_reported_with_its_status(hook):
    hook.broken = True
    [problem] = notify.send(NOTICE, [f"json://127.0.0.1:{hook.server_port}"], timeout=20)
    assert problem == "notice 1 of 1 (json://…): it was not accepted (HTTP status 500)"


@pytest.mark.slow
def test_slow_servers_cost_the_timeout_once_and_do_not_delay_others(hook, mailbox):
    hook.slow = True
    slow = f"json://127.0.0.1:{hook.server_port}"
    mail = f"mailto://127.0.0.1:{mailbox.port}?from=runner@example.com&to=team@example.com"
    started = time.monotonic()
    problems = notify.send(NOTICE, [*[slow] * 4, mail], timeout=4)
    assert time.monotonic() - started < 12, "one after the other takes 16 s"
    assert problems == [f"notice {n} of 5 (json://…): no answer in 4 s" for n in range(1, 5)]
    assert len(mailbox.mails) == 1


@pytest.mark.parametrize("form", ["text", "html"])
def test_an_error_message_is_text_in_a_mail_too(mailbox, form):
    notice = notify.Notice("failure", "flightdelay: failed", "ValueError: no <b>rows</b> <script>x</script>")
    address = f"mailto://127.0.0.1:{mailbox.port}?from=a@example.com&to=b@example.com&format={form}"
    assert notify.send(notice, [address], timeout=20) == []
    [(_, content)] = mailbox.mails
    mail = email.message_from_string(content, policy=email.policy.default)
    parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
    assert notice.body in parts["text/plain"]
    assert "<script>" not in parts.get("text/html", "")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", []),
        ("json://a  mailto://b\njson://c", ["json://a", "mailto://b", "json://c"]),
        ("json://a,mailto://b , json://c,", ["json://a", "mailto://b", "json://c"]),
        ("mailto://h?to=a@x.org,b@x.org,json://c", ["mailto://h?to=a@x.org,b@x.org", "json://c"]),
        ("tokn1", ["tokn1"]),
    ],
)
def test_addresses_come_from_the_environment(value, expected):
    assert notify.urls({"STAGEBOOK_NOTIFY_URLS": value}) == expected
    assert notify.urls({}) == []
